"""TapTill, the terminal. Its packages read as a sale, top to bottom:

amount -> card -> credential -> decision -> host -> journal -> receipt -> settlement -> terminal -> ui
"""

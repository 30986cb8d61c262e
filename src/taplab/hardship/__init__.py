"""Real processes under hardship: killed, cut off, out of space, without power; and do both books agree afterwards?"""

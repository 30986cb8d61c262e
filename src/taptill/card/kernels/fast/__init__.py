"""What C-3 and C-7 share: one GPO that brings the cryptogram, CTQ and TTQ, the offline judgement."""

"""Faces: ecr/ (local API), kiosk/ (web page)."""

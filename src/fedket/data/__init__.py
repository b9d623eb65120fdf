"""Data sets, their split over clients, and padded batches of clients.

Importing this package is cheap: scikit-learn, pooch, Pillow and rich are imported when used.
"""

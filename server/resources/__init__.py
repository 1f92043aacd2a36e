"""What is served: one resource a file, one line in `server/app.py`."""

"""What build.py is made of; plain Python without third-party packages."""

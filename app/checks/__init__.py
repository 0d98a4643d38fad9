"""What the self-check and the tests run: each operation against its numpy twin."""

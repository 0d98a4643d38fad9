"""The numpy twins of the operations: their specification, and what tests compare with."""

"""The page's other half: messages, the session behind them, and the worker's entry."""

"""Training runs: optimizer, schedules, the step loop, evaluation."""

from pathlib import Path

import pytest

REAL_MODEL = Path(__file__).parents[2] / "dist/models/smollm2-135m-instruct-q4_1.gguf"


@pytest.fixture(scope="session")
def real_model() -> Path:
    assert REAL_MODEL.exists(), f"{REAL_MODEL} is missing: run python3 build.py first"
    return REAL_MODEL

"""What is done for each of the page's requests, a file for each of its parts.

Every class has `handlers`: the type of a request → what answers it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Handlers = Mapping[str, Callable[[Any], Awaitable[Any]]]

"""Log records that carry the ids of the job and the routine they are about."""

import logging
from collections.abc import Mapping

__all__ = ["about", "logger"]

logger = logging.getLogger("flowforge")
"""The library's only logger; users configure it by its name."""


def about(job_id: str, routine_id: str | None = None) -> Mapping[str, str | None]:
    """The `extra` of a log call: attributes `job_id` and `routine_id` of the record."""
    return {"job_id": job_id, "routine_id": routine_id}

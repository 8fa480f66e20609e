"""The API reference lists what is public."""

from __future__ import annotations

import re
from pathlib import Path

import splinecam

REFERENCE = Path(__file__).parent.parent / "docs" / "api.rst"


def test_reference_lists_every_public_name_once():
    listed = re.findall(r"^   (\w+)$", REFERENCE.read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(listed) == sorted(splinecam.__all__)

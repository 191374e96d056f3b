"""The citation file names this version, and has every field that its format requires."""

from __future__ import annotations

import re
import tomllib

from imports import REPOSITORY

TEXT = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def field(name: str) -> str:
    """The value of a field of one line; the format is YAML, of which the file uses this much."""
    [value] = re.findall(rf"^{name}: *(.*?)(?: +#.*)?$", TEXT, re.MULTILINE)
    return value.strip('"')


def test_the_citation_has_the_required_fields_of_its_format():
    assert field("cff-version") == "1.2.0"
    assert field("type") == "software"
    assert field("title").startswith("collapse-bench")
    assert field("message")
    assert "\nauthors:\n  - name: The collapse-bench authors\n" in TEXT
    assert "\t" not in TEXT


def test_the_citation_names_the_version_licence_and_keywords_of_the_project():
    assert field("version") == PROJECT["version"]
    assert field("license") == PROJECT["license"].partition(" AND ")[0]
    [listed] = re.findall(r"^keywords:\n((?:  - .*\n)+)", TEXT, re.MULTILINE)
    assert [line.removeprefix("  - ") for line in listed.splitlines()] == PROJECT["keywords"]

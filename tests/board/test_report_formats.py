"""The report in its other formats: each holds the board, and unknown ones are refused."""

from __future__ import annotations

import io
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from collapse_bench.board.page.interchange import Interchange
from collapse_bench.board.page.latex import escaped
from collapse_bench.board.page.write import form_of
from collapse_bench.errors import UsageError

LATEX = shutil.which("pdflatex")


@pytest.fixture(scope="module")
def results(reported):
    return reported[0]


@pytest.fixture(scope="module")
def frame(results):
    return results.board().frame()


def test_csv_and_parquet_have_every_column_unrounded(results, frame, tmp_path):
    results.report(tmp_path / "board.csv")
    results.report(tmp_path / "board.parquet")
    for found in (pd.read_csv(tmp_path / "board.csv"), pd.read_parquet(tmp_path / "board.parquet")):
        assert list(found.columns) == list(frame.columns)
        np.testing.assert_allclose(found.S, frame.S)
    assert list(pd.read_parquet(tmp_path / "board.parquet").entry) == list(frame.entry)


def test_json_is_the_documented_schema(results, frame):
    text = results.report_bytes("json")
    found = Interchange.model_validate_json(text)
    assert (found.format, found.version, found.suite) == ("collapse-bench-board", 1, "kinds v3")
    scores = {e.model_info.name: e.evaluation_results[0].score_details for e in found.evaluations}
    known = frame.set_index("entry")
    assert set(scores) == set(known.index[known.S.notna()])
    for name, details in scores.items():
        assert details.score == pytest.approx(known.S[name])
        assert details.uncertainty.num_samples == known.chains[name]
        if details.uncertainty.confidence_interval is not None:
            assert details.uncertainty.confidence_interval.lower == pytest.approx(known.low[name])
    required = {
        *("schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata"),
        *("model_info", "eval_library", "evaluation_results"),
    }
    for one in json.loads(text)["evaluations"]:
        assert required <= set(one)
        assert len(one["evaluation_results"]) >= 2  # the suite and at least one task
        assert float(one["retrieved_timestamp"]) > 0


def test_markdown_has_at_most_twelve_columns(results):
    text = results.report_bytes("markdown").decode()
    heading = next(line for line in text.splitlines() if line.startswith("| "))
    assert heading.count("|") - 1 <= 12
    assert "<img" not in text
    assert text.count("\n- ") == 3
    columns = ["tier"] * 13
    with pytest.raises(UsageError, match="at most 12 columns, got 13"):
        results.report_bytes("markdown", columns=columns)


def test_latex_has_the_columns_that_were_named_and_escapes_names(results):
    text = results.report_bytes("latex", columns=["name", "score", "cost"]).decode()
    rows = [
        line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
    ]
    assert all(line.count(" & ") == 2 for line in rows[1:])
    assert r"\textless{}img src=x onerror=alert(2)\textgreater{}" in text
    with pytest.raises(UsageError, match="no column 'scor'; did you mean 'score'"):
        results.report_bytes("latex", columns=["scor"])
    with pytest.raises(UsageError, match="csv has every column"):
        results.report_bytes("csv", columns=["score"])


def test_no_text_becomes_a_command_of_latex():
    odd = r"\input{x} 50% a_b $x$ {#1} ~^ <>|" + '"\u202e\u4e2d'
    shown = escaped(odd)
    assert r"\input{" not in shown
    for letter in "%_$#&{}":
        assert all(
            shown[i - 1] == "\\" for i, c in enumerate(shown) if c == letter and letter not in "{}"
        )
    assert shown.isascii()


@pytest.mark.skipif(LATEX is None, reason="pdflatex is not installed")
def test_the_table_compiles_with_its_figure(reported_tuned, tmp_path):
    reported_tuned[0].report(tmp_path / "table.tex", figure=tmp_path / "tiers.pdf")
    compiles(tmp_path, r"\input{table}\includegraphics[width=\textwidth]{tiers.pdf}")


@pytest.mark.skipif(LATEX is None, reason="pdflatex is not installed")
def test_a_figure_in_pgf_has_names_that_latex_can_read(reported_tuned, tmp_path):
    reported_tuned[0].report(tmp_path / "board.csv", figure=tmp_path / "tiers.pgf")
    text = (tmp_path / "tiers.pgf").read_text()
    assert r"\begin{pgfpicture}" in text
    assert r"odd(word=\textquotedbl{}\textless{}" in text
    found = subprocess.run(["kpsewhich", "pgf.sty"], capture_output=True, check=False)
    if not found.stdout.strip():
        pytest.skip("the package pgf of LaTeX is not installed, so the figure is not compiled")
    compiles(tmp_path, r"\resizebox{\textwidth}{!}{\input{tiers.pgf}}", "pgf")


def compiles(folder, body, *packages):
    """Check that pdflatex makes a paper of it in which no letter is missing."""
    names = ",".join(("booktabs", "longtable", "graphicx", *packages))
    (folder / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage[T1]{{fontenc}}\usepackage{{{names}}}"
        rf"\usepackage[landscape]{{geometry}}\begin{{document}}{body}\end{{document}}"
    )
    done = subprocess.run(
        [LATEX, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "Missing character" not in (folder / "paper.log").read_text(errors="replace")


def test_a_figure_in_pgf_needs_latex(results, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"tiers\.pgf needs pdflatex.*end it in \.pdf instead"):
        results.report_bytes("csv", figure=tmp_path / "tiers.pgf")


@pytest.mark.parametrize(
    ("form", "near"), [("htm", "html"), ("tex", "latex"), ("mardown", "markdown"), ("pdf", "")]
)
def test_an_unknown_format_is_refused_with_the_nearest(form, near):
    with pytest.raises(UsageError, match=f"unknown format '{form}'.*{near}"):
        form_of(form, None)


def test_the_ending_of_a_file_says_the_format(tmp_path):
    assert form_of(None, tmp_path / "x.TEX") == "latex"
    assert form_of(None, None) == "html"
    assert form_of("csv", tmp_path / "x.txt") == "csv"
    with pytest.raises(UsageError, match="does not say which format"):
        form_of(None, tmp_path / "x.txt")


@pytest.mark.parametrize("form", ["html", "latex", "parquet", "tabel"])
def test_a_board_renders_no_format_that_it_does_not_know(results, form):
    with pytest.raises(UsageError, match=f"unknown format '{form}'"):
        results.board().render(form)


def test_csv_is_read_back(results, frame):
    found = pd.read_csv(io.BytesIO(results.report_bytes("csv")))
    assert len(found) == len(frame)

from pathlib import Path

import pytest

from models.text import data_home
from models.text.corpora import CorpusError, load_corpus


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkout of the project, no environment variable."""
    monkeypatch.delenv("DATAWALL_DATA", raising=False)
    monkeypatch.setenv("DATAWALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data_home, "BESIDE_CHECKOUT", tmp_path / "shared" / "data")


@pytest.mark.usefixtures("installed")
def test_no_data_folder_is_an_error_that_names_the_variable() -> None:
    assert data_home.find_data_home() is None
    with pytest.raises(CorpusError, match=r"no data folder: set .* DATAWALL_DATA"):
        data_home.data_home()


@pytest.mark.usefixtures("installed")
def test_folder_beside_a_checkout_is_used_if_it_exists(tmp_path: Path) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)
    assert data_home.data_home() == tmp_path / "shared" / "data"


@pytest.mark.usefixtures("installed")
def test_variable_wins_even_if_its_folder_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.setenv("DATAWALL_DATA", str(tmp_path / "elsewhere"))
    assert data_home.data_home() == tmp_path / "elsewhere"


@pytest.mark.usefixtures("installed")
def test_novels_without_a_data_folder_are_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.text.novels.NOVELS_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch waits between attempts
    with pytest.raises(CorpusError, match=r"not in a data folder .*cannot be downloaded"):
        load_corpus("novels")

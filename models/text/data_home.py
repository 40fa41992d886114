"""Where data lives on this machine, and its bytes: the cache, files and archives, the novels."""

import gzip
import hashlib
import io
import logging
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


class CorpusError(ValueError):
    """A corpus that is unknown, missing, unreadable or too small; the message says why."""


def cache_home() -> Path:
    """Folder for what can be made again: $DATAWALL_CACHE, else ~/.cache/datawall."""
    return Path(os.environ.get("DATAWALL_CACHE") or "~/.cache/datawall").expanduser()


def data_home() -> Path:
    """Folder of texts kept beside the project: $DATAWALL_DATA, else shared/data next to it."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("DATAWALL_DATA") or beside).expanduser()


# --- files and archives


def files_under(path: Path) -> list[Path]:
    """The file itself, or all files in the folder and its folders, sorted; hidden ones left out.

    Raises CorpusError where nothing is there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CorpusError(f"no such file or folder: {path}")
    files: list[Path] = []
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (Path(folder, name) for name in names if not name.startswith("."))
        files += [file for file in visible if file.is_file()]
    if not files:
        raise CorpusError(f"the folder {path} holds no files")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _refuse(error: OSError) -> None:
    raise CorpusError(f"cannot read {error.filename}: {error.strerror}")


def read_bytes(file: Path) -> bytes:
    """All bytes of a file; CorpusError naming it where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from error


def unpack(label: str, data: bytes, *, name: str = "") -> Iterator[tuple[str, str, bytes]]:
    """Files inside .gz, .xz and .tar by their suffix: label, innermost file name, bytes.

    Members of an archive come sorted by name, labelled "archive/member"; hidden ones and what is
    no plain file are left out. Any other file is yielded as it is.
    """
    name = name or label
    stem, _, suffix = name.rpartition(".")
    suffix = suffix.lower()
    try:
        if suffix == "gz":
            yield from unpack(label, gzip.decompress(data), name=stem)
        elif suffix == "xz":
            yield from unpack(label, lzma.decompress(data), name=stem)
        elif suffix in ("tar", "tgz", "txz"):
            for member, content in _members(data):
                yield from unpack(f"{label}/{member}", content)
        else:
            yield label, name, data
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise CorpusError(f"{label} is not a readable .{suffix} file: {error}") from error


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {str(PurePosixPath(member.name)): member for member in archive.getmembers()}
        for name, member in sorted(members.items()):
            hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
            file = archive.extractfile(member) if member.isfile() and not hidden else None
            if file is not None:
                yield name, file.read()


# --- the novels: 98 of "100 English novels" (Computational Stylistics Group), 1839-1930

NOVELS_URL = (
    "https://raw.githubusercontent.com/computationalstylistics/100_english_novels/"
    "143e601875d70e195f2cc5ebd8b034609271194d/corpus/"
)


def novels() -> Iterator[tuple[str, str]]:
    """Name and text of each novel in `NOVELS_SHA256`, without byte-order mark, newlines LF.

    Read from `data_home()` where the archive is there, else downloaded once into `cache_home()`
    from `NOVELS_URL`, a pinned commit. Two of the hundred are left out: published after 1930,
    they are not in the public domain in the United States.

    Raises CorpusError for a text that cannot be had or differs from its recorded sha256.
    """
    archive = data_home() / "text" / "english_novels" / "english_novels_98.tar.xz"
    packed = archive.is_file()
    texts = _archived_novels(archive) if packed else _downloaded_novels()
    for name, data in texts:
        text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        if hashlib.sha256(text).hexdigest() != NOVELS_SHA256[name]:
            if not packed:
                _downloaded(name).unlink()  # so that the next call fetches it again
            source = archive if packed else NOVELS_URL
            raise CorpusError(f"the novel {name} from {source} differs from its recorded sha256")
        yield name, text.decode()


def _archived_novels(archive: Path) -> Iterator[tuple[str, bytes]]:
    members = unpack(str(archive), read_bytes(archive))
    found = {PurePosixPath(label).stem: data for label, _, data in members}
    for name in NOVELS_SHA256:
        if name not in found:
            raise CorpusError(f"{archive} lacks the novel {name}")
        yield name, found[name]


def _downloaded(name: str) -> Path:
    return cache_home() / "novels" / f"{name}.txt"


def _downloaded_novels() -> Iterator[tuple[str, bytes]]:
    """Fetch what is not there yet; the sha256 is of normalised text, so pooch is given none."""
    import pooch
    from rich.console import Console
    from rich.progress import track

    folder = cache_home() / "novels"
    home = pooch.create(
        path=folder,
        base_url=NOVELS_URL,
        registry={_downloaded(name).name: None for name in NOVELS_SHA256},
        retry_if_failed=2,
    )
    pooch.get_logger().setLevel(logging.WARNING)  # the bar says it
    to_stderr = Console(stderr=True)
    for name in track(NOVELS_SHA256, "Fetching novels", console=to_stderr, transient=True):
        try:
            file = home.fetch(_downloaded(name).name)
        except (OSError, ValueError) as error:
            raise CorpusError(
                f"the novels are not in {data_home()} (set DATAWALL_DATA) and cannot be fetched: "
                f"{error}"
            ) from error
        yield name, read_bytes(Path(file))


# Of each text as `novels` yields it.
_REGISTRY = """
Anon_Clara_1864 176a22ab9755dd512bf1ead23d87431522402ac3896efd19c5085f0d35b43c90
Barclay_Ladies_1917 ee8617352fda76d08fe1450d03875b755a5be4adc5fd9bc9620aa7d78527d7db
Barclay_Postern_1911 1d9ac16abbc4e3f9981f09efdbfb1a42064071d586c2ef02bf59db8180a240f0
Barclay_Rosary_1909 42420a21b700d0666219b35148a376c4fc47b57c741977853350900325d4b16d
Bennet_Babylon_1902 d2cefbc7254c2aaebfa13d1a58f49747cc1dec1c083296ef40d281f43129b8fa
Bennet_Helen_1910 b542f00310f02305d3ac0c656fcf3bdc91cf884d9a37ee6ec59ca2a1a49b39c1
Bennet_Imperial_1930 a07d61ebe2061f4bce3f68bc468d8934e117141f9a87a2158f519f4dc2999367
Blackmore_Erema_1877 899fdb9e98749602a9a254a782397e2e95f45cfc4dca2d331ef69104f5d351fc
Blackmore_Lorna_1869 7061711eeafc4f4990da1e4507c592694fe6134fdc3172eac493ad371ebc535d
Blackmore_Springhaven_1887 79680fc78e2d4a498a1e1a772fc55e5420ccac300184130b6467b0d0533037a0
Braddon_Audley_1862 ec53e03112909f11db4cbd1eec0ad2ded0b6b243f9ae42f7d0fb0153ee3b5d2a
Braddon_Phantom_1883 747a08612cacf7b41e7b16cf783ddb91f23132581eaa1b184f48ad09a39eba2c
Braddon_Quest_1871 56ef0d7d4cdd25358afa132f265b58528e29789cdc11e75d589a41f13da49a05
Burnett_Garden_1911 e65bff35b5dbad6abb1802d753cc4a7e2f7d907950908c2f8cfaed97b225c16f
Burnett_Lord_1886 57bfdc4d0c734d9fba097bfb8ffc512c8e34379850cf2e56b4a286d0980c5d0d
Burnett_Princess_1905 b558bb68ef82a33f225fdefaa83ae2daf599bab42ddd25decc89e15da92e22e3
Cbronte_Jane_1847 ce594d8c21ffd4af00d7c6241cde91a7ae24b695f6b9af804f95ced050708e6a
Cbronte_Shirley_1849 3b34d95d012a04836cf5779c59432bb3a059fbc62dd423d764f6ad1a7b4f961f
Cbronte_Villette_1853 40615b45579bac18e6ada037faaf9d20a1896c6d2f39f06808df5d6d86bcf997
Chesterton_Innocence_1911 ffbfe9e9c1649a713985692fce64c66f40420cd00eacabc29e9e440df145c95c
Chesterton_Napoleon_1904 81a0d868db26e87bc5e437337b2776a87e1ee4057648dd209eb195cab276e3fc
Chesterton_Thursday_1908 56ddae47538f44ee761144aafcc7085fd172cb33f7ef8f6f285fc418d51f1589
Conrad_Almayer_1895 7ffff8b5480199ab4cb77af7d8ed36d4250d928cbf6a680d9b67f0c7223eab6c
Conrad_Nostromo_1904 47be6b6041c30b1ad74783b28bce1cfc0fdee6f5c52bb2f1287c08d1619b0316
Conrad_Rover_1923 c7e42513a84853f145146c9fe25f523add846f5e5612de85ece7aa0c7ba4d51a
Corelli_Innocent_1914 2e59783e498928f297a0b5a2d997fdc33a985648ab26561a4a0950de7f71a53f
Corelli_Romance_1886 4dafde0167dec09e63a6455a75839d0755d4fe4885da448cd45de2080ff8b869
Corelli_Satan_1895 cb68ea2078a49938013a57602fcba9d201193de63975277418091a03e5351e3c
Dickens_Bleak_1853 dfe3a0a502f424f06396ee7db6d38cb7462f45c748b596c5f9670864727f49b4
Dickens_Expectations_1861 f29a14aacb89d7ded121f269e1823a6c329181fc5269930f6bd130bb7255e6f2
Dickens_Oliver_1839 d96fd7afc9c46815820c1d04790c8cd8fe908758a73df221ad987dc9b5ce1c20
Doyle_Hound_1902 23b7708e11ea07b2ea2b70b7675b2c5f15a70de32687178c2209ae45df48f885
Doyle_Lost_1912 cb61904fae09527e5b0982c98bf9e8b4b0afcb7dd14a0de8ff5f6d1fb6a2611a
Doyle_Micah_1889 2491e0043711feec132fb53b15d417cd12c1f37b032044e4ee5c0da395f83fa1
Eliot_Adam_1859 834af16ae5a82328435f3cc4c97741df61528f315678105800e669f32ee4e742
Eliot_Daniel_1876 57d3d659e8384b9a137dbbfbf9a2e43ab3413f695c256bc7ca2da89a4c0fd608
Eliot_Felix_1866 8027b706fd97decbee70b8a10fac798018034932853ca03fc63e3119e126aafc
Ford_Girl_1907 e2646c4f60790eefd22f631f482186b53bdd3f87a1533bd49acf2308d5f603d1
Ford_Post_1926 8f8fef75b03392429d61663698cc122356bdf1ab0d5f0db18fbe9f77a7eb5dad
Ford_Soldier_1915 581ea425fc93557ffa1468a0a0f14fae317dc8bf8adfff4b39d75e04e5b985a7
Forster_Angels_1905 ee6dacffd21a9a08accb96e4125f3646fc3b499ac02e5998c94c405f4b7ce18a
Forster_Howards_1910 f20122b75850ca73c8251a07745f8212a8a06df72cc41f9ee4d0c5128440920a
Forster_View_1908 c085dc108acc5523904b0d0da43db16bf9056761051552d469504b5e132f0909
Galsworthy_Man_1906 ccf179c26c1ffecd567be57955ca607c5c02ab1073653bb6129f77b618dfdfb0
Galsworthy_Saints_1919 0ec7e4b99a0b2d6188a4e4826432dc9d7278a9443d34df97cddb9899109f1baf
Gaskell_Lovers_1863 b3d67f3fc3425c54b9762827db1520ff92e7f05dd66c324a41bc733b1f8bcde9
Gaskell_Ruth_1855 94be8bbeb2cb9b8c22ec0cb36bd54f4dec54b0b8078662ecb7ef44d27674c51b
Gaskell_Wives_1865 28abd94f47360df3e273f43aafcd33bc28fc7dafb7a099f396ea87a638acbaf2
Gissing_Unclassed_1884 ca4f3926c73285374d4fb87bb527f197a579e677409fe43a7177844e11c30ff7
Gissing_Warburton_1903 bcf2cfdde6f1673b1351df9adebfd7da5e4bf12d871bb0ad0857bc6b163cc3fe
Gissing_Women_1893 09ec38444cd3721f442a65b198fd2e59b19f7cb967306ed9503197d84aa6ac7f
Haggard_Mines_1885 65a363d1855d81a52a481ab92068f3ad11af3819434712084fab8cb77a525f49
Haggard_She_1887 5410d0eb2b5b10827b01e00c5af7b373da4693009d0da7fd19a9c6aaefd689a1
Haggard_Sheallan_1921 d9bd0b4be5b2be7d6784ddc517e53c35b55c6f9c185054efc874e69e271f87ee
Hardy_Jude_1895 236f557a498778c73ee30047c2835bb0fa4691a5676d6819f7fbf30b4df3c40f
Hardy_Madding_1874 ea6fbbf4a3403103a71e5ba32bc6a8827ae98fdb753431fa58c05b72378b2f50
Hardy_Tess_1891 bce8233995e6e8bb0914b040237babf5e7e18c5b78942a1fc19a49d99de994a3
James_Ambassadors_1903 d69b26961b79ecb67f1b6af0d955f23cb133113f954af4683cd668b104c70906
James_Roderick_1875 94741d26b7fd87eb27fe9216a3ac8cf28aa5d1528a0f8f0a99044c2c2a44111b
James_Tragic_1890 81838e10e9e3889d3d2bff18d3a371e6aeff6cf231fd3dfecbf6f4fb971f7c11
Kipling_Captains_1896 7a698db989c84ed421792a584be3802c3ecb490ed7fcaad1319b9d5af77853fc
Kipling_Kim_1901 2a7cc8bb960e1339a4936fa721000f28ce14962c60d91ee491ffcb4814341105
Kipling_Light_1891 cccd23d1c45c6e8c65bb80ccbb32ccd576662b6888645ec8b1928e484b8ef0cd
Lawrence_Peacock_1911 13a59459c89958c61fd73b3d44b27a9dfc4eb9c4f6bcbcde7f1ebe130675441a
Lawrence_Serpent_1926 99d305348ffcf97d946ad965f05407aeeb75c2ea26cc98e6856a33150e498c31
Lawrence_Women_1920 0fe9de5c2133971d908370d053cfb2e47679ff0251594c215f1fabab3c54fb66
Lee_Albany_1884 5ebddfe46ed1db2807cdf734c1bff5af2580d9db94d5f320c4fad0f7853b3922
Lee_Brown_1884 53ba6bd1551aa0f4df981e073d6aa81e878d4c04210c4ee7e08f67e0e075a951
Lee_Penelope_1903 b496f9468218da6dbfe9fb7ea873d7704c1e866f5ca286dcdb13966e3088ed2f
Lytton_Kenelm_1873 d018c9218fea72fc39384e2984d42a8aa5f4d3c6a638199c891c71300b365bb8
Lytton_Novel_1853 edf97a5dce3b7319636dae2c6772160ac3691c185b1e89183dda9685d9606709
Lytton_What_1858 9157914e7e80fbaef4ba1243b6c9aab9f4c4033cd77d8b14a2ecccfcd7320050
Meredith_Feverel_1859 aaaf4c8e1b465930ad7e9484d2bcecb66ed3208df4e0597cda5a6d91d022f8a9
Meredith_Marriage_1895 a95d9d879d6de5dd6429f25978e51b909fee0b4669184f4e12ec9f40d0c22461
Meredith_Richmond_1871 00e5a1cfb8e7d03855c116d865c678f016a9f3363fa4913acc771e5342a85dd6
Morris_Roots_1890 8379e1a624411b61817bf4928ef5797bb3280503bda6e1460cc35ed2b1ca9b17
Morris_Water_1897 73de6b8cdf4b49cb8ac222697ba758bfd41d310d7f5183093614c0db80f294be
Morris_Wood_1894 7b9572112d4932dc35619f32ebea3273199ede02fb07db445c6e0b5c2dbe8385
Schreiner_Farm_1883 3330c2a26e89cb392099e3a0566fe78e67a2eb12ffe617f7ab2b58255a270906
Schreiner_Trooper_1897 3daa0dff003fb355a8d9bcc4b0b5852436e1f13a15bbcda09eff783e8ef27612
Schreiner_Undine_1929 c8c21d3094eb1e8a3db003d53420a0b24efd8a03f7409a660aa4b1289fa4d45b
Stevenson_Arrow_1888 f46afadec2dabadedae31107d6e74539859ed3d33ce21bf92effb874096dbed1
Stevenson_Catriona_1893 bff144dc85c9d6bbc7223633f4902e90b6b74dc1d4b648be1c5b96e83cb05e77
Stevenson_Treasure_1883 05fa10cc95ecae598967b6f7832220806ff12939569bdac265e6475fef107c61
Thackeray_Esmond_1852 1b9d510c870cd9cf346bf3f9bf06564b46eb8b47d203a18543e6e0edecf3efe1
Thackeray_Pendennis_1850 89184f08fef1a7eea0b3e376478d59948bdaaff7b8e48129c945c72135c224b1
Thackeray_Virginians_1859 7c681b8f2b9560fe8f8445e63888bd512997eab818db68739f665ee7c2971d92
Trollope_Angel_1881 c309f6dc32e0f6c10a2c35c4286094088a2c2b27a2f77ab1b133e5b67231a209
Trollope_Phineas_1869 477f7cfb6eaa78d8ef82a4d8a91e2ab16c2c81c30dfd47089624ee91cd724993
Trollope_Warden_1855 cb511a24ef4d9929844c24a5c4731d606c9c47b5c0ddeee6b3fea78486bb97fa
Ward_Ashe_1905 50e8babdc2238db58cfbdea02fee47fc92881d179b2847bfac0d7babd3285d83
Ward_Harvest_1920 dad82fbbb71db662210ba36fe235e6fbf4b22d009fd25ebb70b14abd1cb49581
Ward_Milly_1881 281b52f80ff5601f37ee62530a48e5390af83458131e7dfe15330a4eecf58294
Wcollins_Basil_1852 5667d8d0f9e1afcafbc01abc771b0652ee959c6db7158fdbd0d4e1b3940a3ba1
Wcollins_Legacy_1889 01013319c5eb97470daad9df699f52d663dc63e1164ea25cd769216fa104316f
Wcollins_Woman_1860 8c79e7303ec5a9a4c016d23483c41648218f10aa439dea8783b87fa610d16f44
Woolf_Lighthouse_1927 bc4e2b053bfe9aa48181cad929a99d2cc84addd889c0bfb18f6c832b732ec9ca
Woolf_Night_1919 1ca31969c81c5e43826c11b171aed9ea1dc6c40a8eefbed5c1cdb27dc381444d
"""
_WORDS = _REGISTRY.split()
NOVELS_SHA256 = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))

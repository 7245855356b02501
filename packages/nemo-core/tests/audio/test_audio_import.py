"""The core stays light: audio's libraries are loaded where audio is read, and the extra is named where they lack."""

from __future__ import annotations

import subprocess
import sys


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_is_light():
    code = "import sys, nemo_core.audio; print({'torch', 'numpy', 'soundfile', 'soxr'} & set(sys.modules))"
    assert run(code) == "set()"


def test_features_need_no_library_of_audio():
    code = "import sys; from nemo_core.audio import MelSpectrogram, read_audio; print('soundfile' in sys.modules)"
    assert run(code) == "False"


def test_the_extra_is_named_where_it_lacks():
    code = (
        "import sys; sys.modules['soundfile'] = None\n"
        "from nemo_core.audio import read_audio; from nemo_core.errors import ConfigError\n"
        "try: read_audio(b'RIFF')\n"
        "except ConfigError as error: print(error)"
    )
    assert "nemo-core[audio]" in run(code)

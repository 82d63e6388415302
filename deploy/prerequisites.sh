#!/bin/sh
# Says, in one sentence each, what must be on the machine before `make` can do the rest; exits 1 if anything is missing.
python="${1:-python3}"
missing=0

want() {
    echo "make set-up: $1" >&2
    missing=1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    want "Python 3.11 or newer is missing: '$python' is $("$python" --version 2>&1 || true); install it, or name it with PYTHON=…"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    want "Python's venv module is missing: on Debian install python3-venv."
"$python" -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' 2>/dev/null ||
    want "the headers of Python are missing: on Debian install python3-dev."
node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null ||
    want "Node.js 20 or newer is missing (found: $(node --version 2>/dev/null || echo none)); it brings the local chain, the contract compiler and the js-libp2p peer."
command -v npm >/dev/null ||
    want "npm is missing: on Debian install npm."
command -v cc >/dev/null ||
    want "a C compiler is missing: on Debian install gcc."
if command -v cc >/dev/null; then
    echo '#include <gmp.h>' | cc -E -x c - >/dev/null 2>&1 ||
        want "the headers of GMP are missing: on Debian install libgmp-dev."
fi
exit "$missing"

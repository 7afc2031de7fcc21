# Makes .venv with pinned dependencies; sourced by quickstart and test. First argument: the extras to install, such as `[test]`.
# PYTHON chooses the interpreter; without it the newest suitable one on the PATH is taken.

suitable() { "$1" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if suitable "$candidate"; then printf '%s\n' "$candidate"; return; fi
        if [ -n "${PYTHON:-}" ]; then break; fi
    done
    echo "error: Python 3.11 or newer is needed${PYTHON:+, and PYTHON=$PYTHON is not}; install one, or name it with PYTHON=/path/to/python3" >&2
    return 1
}

setup() {
    local extras=${1:-} wanted stamp=.venv/.installed
    if ! [ -x .venv/bin/python ] || ! suitable .venv/bin/python; then
        local python
        python=$(find_python)
        rm -rf .venv
        "$python" -m venv .venv
    fi
    wanted="$extras $(cat pyproject.toml constraints.txt | cksum)"
    if [ -f $stamp ] && grep -qxF "$wanted" $stamp; then return; fi
    echo "installing prismenv$extras into .venv" >&2
    # The build backend is pinned too: pip hands PIP_CONSTRAINT (PIP_BUILD_CONSTRAINT since 25.3) on to isolated builds.
    PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    printf '%s\n' "$wanted" >> $stamp
}

#!/usr/bin/env bash
# Install a stack and this project, editable, into a Python interpreter.
#
#   [STACK=default] tools/install.sh PYTHON [STEP...]
#
# A stack is a folder of requirements/, see docs/install.md.
# Steps run in the order below; all of them when none is named. A step that is
# done leaves a stamp in the environment, so a second run skips it and a run that
# was interrupted goes on where it stopped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

stack=requirements/${STACK:-default}
if [[ ! -d $stack ]]; then
  echo "install: no folder $stack, choose STACK from: $(ls -d requirements/*/ | xargs -n1 basename | xargs)" >&2
  exit 1
fi
steps=(torch build openmmlab mmcv demo dev docs project)
python=${1:?usage: tools/install.sh PYTHON [STEP...], steps: ${steps[*]}}
shift
wanted=" ${*:-${steps[*]}} "
for step in $wanted; do
  if [[ " ${steps[*]} " != *" $step "* ]]; then
    echo "install: unknown step '$step', choose from: ${steps[*]}" >&2
    exit 1
  fi
done

read -r low high <"$stack/python.txt"
if ! "$python" -c "import sys; sys.exit(not (${low/./,}) <= sys.version_info[:2] <= (${high/./,}))"
then
  echo "install: $python is not a Python from $low to $high, which $stack needs" >&2
  exit 1
fi
stamps=$("$python" -c 'import sys; print(sys.prefix)')/.luminet_mm

quiet=()
[[ -t 1 ]] || quiet=(--quiet)

# No step may move what an earlier one pinned.
pip_install() {
  "$python" -m pip install "${quiet[@]}" -c "$stack/torch.txt" \
    -c "$stack/build.txt" -c "$stack/openmmlab.txt" "$@"
}

# The file of a step: the stack's own, or the one for all.
requirements() {
  if [[ -f $stack/$1.txt ]]; then echo "$stack/$1.txt"; else echo "requirements/$1.txt"; fi
}

install_mmcv() {
  local mmcv=$stack/mmcv.txt
  if pip_install --only-binary mmcv,onedl-mmcv -r "$mmcv" 2>/dev/null; then
    echo '  a ready build was found'
    return
  fi
  echo '  no ready wheel for this Python in the index or in find-links: building from'
  echo '  source now, about 13 minutes on 2 cores. A machine with a GPU is better served by'
  echo "  its publisher's binary: stop here, get it as docs/install.md says, start again."
  pip_install --no-build-isolation -r "$mmcv"
}

install_step() {
  case $1 in
    mmcv) install_mmcv ;;
    project)
      # as a variable, too (false means none), since setuptools 80 calls pip once more
      PIP_NO_BUILD_ISOLATION=false pip_install --no-build-isolation --no-deps -e .
      "$python" -c 'import luminet_mm'
      ;;
    *) pip_install -r "$(requirements "$1")" ;;
  esac
}

# What a step's outcome depends on: an edit of any of it runs the step anew.
inputs() {
  case $1 in
    project) pwd && cat setup.cfg setup.py luminet_mm/version.py luminet_mm/losses/csrc/* ;;
    *) cat "$(requirements "$1")" ;;
  esac
}

changed=
for step in "${steps[@]}"; do
  [[ $wanted == *" $step "* ]] || continue
  key=$(inputs "$step" | cksum)
  if [[ $(cat "$stamps/$step" 2>/dev/null) == "$key" ]]; then
    continue
  fi
  echo "install: $step ..."
  start=$SECONDS
  install_step "$step"
  mkdir -p "$stamps"
  echo "$key" >"$stamps/$step"
  echo "install: $step done in $((SECONDS - start)) s"
  changed=yes
done

if [[ $changed ]]; then
  "$python" -m pip check
else
  echo "install: nothing to do, $stamps is up to date"
fi

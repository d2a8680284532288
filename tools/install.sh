#!/usr/bin/env bash
# Install the default stack and this project, editable, into a Python interpreter.
#
#   tools/install.sh PYTHON [STEP...]
#
# Steps run in the order below; all of them when none is named. A step that is
# done leaves a stamp in the environment, so a second run skips it and a run that
# was interrupted goes on where it stopped.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

steps=(torch build openmmlab mmcv demo dev project)
python=${1:?usage: tools/install.sh PYTHON [STEP...], steps: ${steps[*]}}
shift
wanted=" ${*:-${steps[*]}} "
for step in $wanted; do
  if [[ " ${steps[*]} " != *" $step "* ]]; then
    echo "install: unknown step '$step', choose from: ${steps[*]}" >&2
    exit 1
  fi
done

if ! "$python" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 11))'
then
  echo "install: $python is not a Python from 3.8 to 3.11, for which torch 2.1.2 exists" >&2
  exit 1
fi
stamps=$("$python" -c 'import sys; print(sys.prefix)')/.luminet_mm

quiet=()
[[ -t 1 ]] || quiet=(--quiet)

# No step may move what an earlier one pinned.
pip_install() {
  "$python" -m pip install "${quiet[@]}" -c requirements/torch.txt \
    -c requirements/build.txt -c requirements/openmmlab.txt "$@"
}

install_mmcv() {
  if pip_install --only-binary mmcv -r requirements/mmcv.txt 2>/dev/null; then
    echo '  a ready build was found'
    return
  fi
  echo '  no ready wheel for this Python in the index or in find-links: building from'
  echo '  source now, about 13 minutes on 2 cores. A machine with a GPU is better served'
  echo "  by OpenMMLab's binary: stop here, run \`mim install mmcv==2.1.0\`, start again."
  pip_install --no-build-isolation -r requirements/mmcv.txt
}

install_step() {
  case $1 in
    mmcv) install_mmcv ;;
    project)
      pip_install --no-build-isolation --no-deps -e .
      "$python" -c 'import luminet_mm'
      ;;
    *) pip_install -r "requirements/$1.txt" ;;
  esac
}

# What a step's outcome depends on: an edit of any of it runs the step anew.
inputs() {
  case $1 in
    project) pwd && cat setup.cfg setup.py luminet_mm/version.py luminet_mm/losses/csrc/* ;;
    *) cat "requirements/$1.txt" ;;
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

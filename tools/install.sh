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
steps=(torch build openmmlab mmcv demo dev interpreter docs project)
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

# The address that a file of requirements states.
address() { grep -v '^#' "$1"; }

# Whether anything answers at an address. The timer ends all that may hang, the name's
# look-up too; certificates are left to pip.
answers() {
  "$python" - "$1" <<'EOF' 2>/dev/null
import os, ssl, sys, threading, urllib.error, urllib.request

timer = threading.Timer(5, os._exit, [1])
timer.daemon = True
timer.start()
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    urllib.request.urlopen(sys.argv[1], context=context)
except urllib.error.HTTPError:
    pass
EOF
}

# Without a GPU, torch's publisher is asked for the build that brings no CUDA libraries.
install_torch() {
  local index source=() why=
  index=${LUMINET_TORCH_INDEX-$(address requirements/torch_index.txt)}
  if [[ -z ${LUMINET_TORCH_INDEX+named} && $(nvidia-smi -L 2>/dev/null) == GPU* ]]; then
    why='nvidia-smi lists a GPU'
  elif [[ -z $index ]]; then
    why='LUMINET_TORCH_INDEX is empty'
  elif ! answers "$index"; then
    why="nothing answers at $index"
  else
    source=(--extra-index-url "$index")
  fi
  pip_install "${source[@]}" -r "$stack/torch.txt"
  local torch
  torch=torch\ $("$python" -c 'import torch; print(torch.__version__)')
  if [[ $why ]]; then
    echo "  $torch from the package index: $why"
  else
    echo "  $torch, for which $index was asked first"
  fi
}

# Install a ready wheel of mmcv, if there is one whose operators load beside this torch.
install_mmcv_wheel() {
  pip_install --only-binary mmcv,onedl-mmcv -r "$stack/mmcv.txt" 2>>"$log" || return
  if ! "$python" -c 'import torch, mmcv._ext' 2>>"$log"; then
    echo "  a wheel's operators do not load, see $log"
    "$python" -m pip uninstall --quiet --yes mmcv onedl-mmcv 2>>"$log"
    return 1
  fi
}

# What pip and ninja say, as the objects done of all: a line that moves every second on a
# terminal, a line a minute elsewhere.
progress() {
  local line status=0 done=0 all='?' start=$SECONDS every=60 back='' end=$'\n'
  if [[ -t 1 ]]; then every=1 back=$'\r' end=''; fi
  local next=$every
  # above 128: nothing was said for a second
  while ((status == 0 || status > 128)); do
    if ((SECONDS - start >= next)); then
      printf '%s' "$back  $done of $all objects, $((SECONDS - start)) s$end"
      ((next += every))
    fi
    status=0
    IFS= read -r -t 1 line || status=$?
    if [[ $line =~ ^\ *\[([0-9]+)/([0-9]+)\] ]]; then
      done=${BASH_REMATCH[1]} all=${BASH_REMATCH[2]}
    fi
  done
  # pip may have kept what it compiled once
  if [[ $all == '?' ]]; then all=0; fi
  echo "$back  $done of $all objects, $((SECONDS - start)) s"
}

install_mmcv() {
  local log=$stamps/mmcv.log device page
  : >"$log"
  device=$("$python" -c 'import torch; print("cu" + torch.version.cuda.replace(".", "")
if torch.version.cuda else "cpu")')
  page=${LUMINET_MMCV_INDEX-$(address "$stack/mmcv_index.txt")}
  page=${page//'{device}'/$device}
  if [[ -z $page ]]; then
    echo '  LUMINET_MMCV_INDEX is empty, so no publisher is asked'
  elif [[ $page == http* ]] && ! answers "$page"; then
    echo "  nothing answers at $page"
  elif PIP_FIND_LINKS=$page install_mmcv_wheel; then
    echo "  a ready build from $page"
    return
  fi
  if install_mmcv_wheel; then
    echo '  a ready build from find-links or the package index'
    return
  fi
  echo "  no ready build for this Python and torch: compiling, which takes 13 minutes on 2"
  echo "  cores that have nothing else to do; all that is said goes to $log"
  # pip shows what ninja says only if told to
  local quiet=(--verbose)
  if ! pip_install --no-build-isolation -r "$stack/mmcv.txt" 2>&1 | tee -a "$log" | progress; then
    sed -n '/^Using pip/,$p' "$log" | grep -m 5 -E '([Ee]rror|ERROR): ' | cut -c1-200 >&2 || true
    echo "install: mmcv could not be compiled, the whole output is in $log" >&2
    exit 1
  fi
}

install_step() {
  case $1 in
    torch) install_torch ;;
    mmcv) install_mmcv ;;
    project)
      # as a variable, too (false means none), since setuptools 80 calls pip once more
      PIP_NO_BUILD_ISOLATION=false pip_install --no-build-isolation --no-deps -e .
      "$python" -c 'import luminet_mm'
      ;;
    interpreter)
      # beside the environment, whose torch may have brought a Triton of its own
      pip_install --upgrade --no-deps --target "$stamps/triton" \
        -r requirements/interpreter.txt
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
  mkdir -p "$stamps"
  install_step "$step"
  echo "$key" >"$stamps/$step"
  echo "install: $step done in $((SECONDS - start)) s"
  changed=yes
done

if [[ $changed ]]; then
  "$python" -m pip check
else
  echo "install: nothing to do, $stamps is up to date"
fi

#!/usr/bin/env bash
# Print the first of these stacks that a Python of this machine fits, and that Python.
#
#   tools/find_python.sh 'STACK...' 'PYTHON...'
#
# Prints nothing, and exits with 1, where there is none.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

for stack in $1; do
  read -r low high <"requirements/$stack/python.txt"
  for python in $2; do
    if "$python" -c "import ensurepip, sys, venv
sys.exit(not (${low/./,}) <= sys.version_info[:2] <= (${high/./,}))" 2>/dev/null; then
      echo "$stack $python"
      exit
    fi
  done
done
exit 1

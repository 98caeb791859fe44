#!/bin/sh
# Starts ssl with the libraries of a PyTorch 2.11 that is installed on this host.
#
#   ./start PYTORCH VERB...     such as: ./start ~/venv train my.toml
#   ./start PYTORCH --test [NAME]   runs the test programs instead, or those whose name contains NAME
#
# PYTORCH is a virtual environment, a site-packages folder, or the torch folder itself.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
library=$(find -L "$1" -maxdepth 7 -name libtorch_cpu.so 2>/dev/null | head -n 1)
if [ -z "$library" ]; then
    echo "error: no libtorch_cpu.so below $1: install PyTorch there (python3 -m pip install torch==2.11.0)" >&2
    exit 2
fi
shift
lib=$(cd "$(dirname "$library")" && pwd)
path=$lib
for folder in "$lib"/../../nvidia/*/lib "$lib"/../../torch.libs; do
    if [ -d "$folder" ]; then
        path=$path:$(cd "$folder" && pwd)
    fi
done
LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
if [ "$1" != --test ]; then
    exec "$here/bin/ssl" "$@"
fi
failed=0
for test in "$here"/tests/*"${2:-}"*; do
    echo "$(basename "$test")"
    (cd "$here" && "$test") || failed=1
done
exit $failed

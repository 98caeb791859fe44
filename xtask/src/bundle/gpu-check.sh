#!/bin/sh
# Runs what this bundle has for a GPU, within ten minutes, and prints a table last.
#
#   ./gpu-check PYTORCH [DEVICE]    such as: ./gpu-check ~/venv cuda:0
#
# Training on the device must reach the loss that the CPU reaches, and go on from a checkpoint; then steps are timed, beside
# PyTorch's where PYTORCH is a virtual environment. Exit code 0: all passed; 1: something failed; 4: there is no GPU to check.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
pytorch=$(cd "$1" 2>/dev/null && pwd) || { echo "error: no folder $1" >&2; exit 2; }
device=${2:-cuda:0}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
table=$work/table.txt
failed=0
ends=$(($(date +%s) + 570))

row() { printf '%-30s %-8s %s\n' "$1" "$2" "$3" >> "$table"; }

finish() {
    printf '\n%-30s %-8s %s\n' check outcome figures
    cat "$table"
    exit "$1"
}

# NAME COMMAND...: runs within the time that is left; 0 where it succeeded, and what it printed is in $work/out.
try() {
    name=$1
    shift
    left=$((ends - $(date +%s)))
    if [ "$left" -lt 5 ]; then
        row "$name" skipped "ten minutes are over"
        return 1
    fi
    echo "$name" >&2
    if timeout "$left" "$@" > "$work/out" 2> "$work/err"; then return 0; fi
    tail -n 5 "$work/err" >&2
    row "$name" FAILED "$(grep -m 1 '^error' "$work/err" || echo "exit code not 0")"
    failed=1
    return 1
}

# KEY: a number of the document in $work/out.
number() { sed -n "s/.*\"$1\": *\\([-0-9.e+]*\\).*/\\1/p" "$work/out" | head -n 1; }

cd "$here" || exit 1
if [ ! -e /proc/driver/nvidia/version ] && [ ! -e /dev/nvidiactl ]; then
    row "every GPU check" skipped "no NVIDIA driver was found on this machine"
    finish 4
fi

run=fixtures/runs/bench-a.toml
train() { # NAME FOLDER DEVICE STEPS
    try "$1" ./start "$pytorch" train "$run" --out "$work/$2" --device "$3" --set "train.steps=$4" \
        --set data.validation-fraction=0.2 --allow-config-change --json
}
if train "train on the CPU" cpu cpu 60; then
    cpu=$(number train_loss)
    row "train on the CPU" passed "loss $cpu"
    if train "train on $device" gpu "$device" 60; then
        gpu=$(number train_loss)
        if awk "BEGIN { d = $gpu - $cpu; exit !(d < 0.05 && d > -0.05) }"; then
            row "train on $device" passed "loss $gpu"
        else
            row "train on $device" FAILED "loss $gpu, on the CPU $cpu"
            failed=1
        fi
    fi
    if train "go on on $device" gpu "$device" 80; then
        row "go on on $device" passed "from step $(number resumed_from), loss $(number train_loss)"
    fi
fi
for shape in a b c; do
    for dtype in fp32 bf16; do
        name="step $shape $dtype"
        if try "$name" ./start "$pytorch" bench "fixtures/runs/bench-$shape.toml" --dtype $dtype --device "$device" --json; then
            row "$name" timed "$(number tokens_per_second) tokens/s, MFU $(number mfu)"
        fi
        if [ -x "$pytorch/bin/python" ]; then
            upper=$(echo $shape | tr abc ABC)
            if try "$name, PyTorch" "$pytorch/bin/python" fixtures/bench/pytorch_gpt.py --shape "$upper" --dtype $dtype \
                --device "$device"; then
                row "$name, PyTorch" timed "$(number tokens_per_second) tokens/s"
            fi
        fi
    done
done
finish $failed

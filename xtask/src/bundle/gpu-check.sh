#!/bin/sh
# Runs what this bundle has for a GPU, within ten minutes, and prints a table last.
#
#   ./gpu-check PYTORCH [DEVICE]    such as: ./gpu-check ~/venv cuda:0
#
# Kernels must give what the CPU gives, training must reach the CPU's loss and go on from a checkpoint to the bit; then steps are timed, beside
# PyTorch's, eager and compiled, where PYTORCH is a virtual environment. In fp32 PyTorch's products are TF32, ours are not. Exit code 0: all passed; 1: something failed; 4: there is no GPU to check.
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

# Kernels, recordings and collectives against the CPU.
if try "tests on $device" ./start "$pytorch" --test gpu; then
    row "tests on $device" passed "$(sed -n 's/^test result: ok\. \([0-9]* passed\).*/\1/p' "$work/out" | tail -n 1)"
else
    grep -h "panicked\|FAILED\|^skipped" -A 2 "$work/out" "$work/err" | head -n 40 >&2
fi

run=fixtures/runs/bench-a.toml
train() { # NAME FOLDER DEVICE STEPS PRECISION
    try "$1" ./start "$pytorch" train "$run" --out "$work/$2" --device "$3" --set "train.steps=$4" --set "train.precision=\"$5\"" \
        --set data.validation-fraction=0.2 --set train.save-every-steps=20 --allow-config-change --json
}
near() { awk "BEGIN { d = $1 - $2; exit !(d < $3 && d > -$3) }"; }
same() { cmp -s "$work/$1/checkpoints/$3/model.safetensors" "$work/$2/checkpoints/$3/model.safetensors" &&
    cmp -s "$work/$1/checkpoints/$3/optim.safetensors" "$work/$2/checkpoints/$3/optim.safetensors"; }
if train "train on the CPU" cpu cpu 60 fp32; then
    cpu=$(number train_loss)
    row "train on the CPU" passed "loss $cpu"
    for dtype in fp32 bf16; do
        name="train on $device, $dtype"
        train "$name" "gpu-$dtype" "$device" 60 $dtype || continue
        gpu=$(number train_loss)
        if near "$gpu" "$cpu" 0.05; then row "$name" passed "loss $gpu"; else
            row "$name" FAILED "loss $gpu, on the CPU $cpu"
            failed=1
        fi
        name="go on on $device, $dtype"
        train "$name" "gpu-$dtype" "$device" 80 $dtype || continue
        row "$name" passed "from step $(number resumed_from), loss $(number train_loss)"
        train "80 steps at once, $dtype" "once-$dtype" "$device" 80 $dtype || continue
        if same "gpu-$dtype" "once-$dtype" 00000080; then row "$name, the same bits" passed ""; else
            row "$name, the same bits" FAILED "weights or moments are not those of a run that was not interrupted"
            failed=1
        fi
    done
fi

# What the document in $work/out tells of speed, in few digits.
speed() { awk -v t="$(number tokens_per_second)" -v d="$(number peak_device_mib)" 'BEGIN { printf "%.0f tokens/s, %.0f MiB", t, d }'; }
share() { awk -v m="$(number mfu)" -v p="$(number peak_flops)" 'BEGIN { printf "%.1f %% of %.0f TFLOP/s", m * 100, p / 1e12 }'; }

# ROWS, in place of the shape's own where they are given.
bench() { # SHAPE DTYPE [ROWS]
    upper=$(echo "$1" | tr abc ABC)
    case=$upper\ $2${3:+\ x\ $3}
    if try "$case" ./start "$pytorch" bench "fixtures/runs/bench-$1.toml" --dtype "$2" --device "$device" --json ${3:+--set} \
        ${3:+train.batch-rows=$3}; then
        row "$case" timed "$(speed), $(share), first step after $(number first_step_seconds | cut -c1-4) s"
    fi
    [ -x "$pytorch/bin/python" ] || return 0
    for way in "" --compile; do
        if try "$case PyTorch $way" "$pytorch/bin/python" fixtures/bench/pytorch_gpt.py --shape "$upper" --dtype "$2" \
            --device "$device" ${3:+--rows} $3 $way; then
            row "$case PyTorch $way" timed "$(speed)"
        fi
    done
}
# GPT-2 124M as llm.c trains it: 64 rows of 1024 tokens.
bench c bf16 64
bench a bf16
bench b bf16
bench c bf16
bench a fp32
bench c fp32
finish $failed

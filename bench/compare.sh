#!/usr/bin/env bash
# Compares two revisions' benchmarks, each built by its own bench preset, run in turn; needs jq.
set -euo pipefail
if (($# < 3)); then
  echo "usage: bench/compare.sh OLD NEW FILTER [REPETITIONS]   e.g. bench/compare.sh main HEAD kl_divergence_float" >&2
  exit 2
fi
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
old=$(git rev-parse --verify --short=12 "$1^{commit}")
new=$(git rev-parse --verify --short=12 "$2^{commit}")
out=build/compare
git worktree prune
for revision in "$old" "$new"; do
  [ -d "$out/$revision" ] || git worktree add --quiet --detach "$out/$revision" "$revision"
  (cd "$out/$revision" && cmake --preset bench && cmake --build build/bench --target distill_bench) >&2
done

rm -f "$out"/*.json
for ((i = 1; i <= ${4:-5}; ++i)); do
  for revision in "$old" "$new"; do
    "$out/$revision/build/bench/bench/distill_bench" --benchmark_filter="$3" \
      --benchmark_out="$out/$revision.$i.json" --benchmark_out_format=json >&2
  done
done

jq -rn --slurpfile old <(cat "$out/$old".*.json) --slurpfile new <(cat "$out/$new".*.json) '
  # "ns/element" is a median already, which a busy machine disturbs less than real_time, a mean
  def medians: map(.benchmarks[]) | group_by(.name) | map({key: .[0].name, value: {
    time: (map(."ns/element" // .real_time) | sort | .[length / 2 | floor]),
    unit: .[0] | (if has("ns/element") then "ns/element" else .time_unit end)}}) | from_entries;
  def digits: . * 1000 | round / 1000;
  ($old | medians) as $before | ["benchmark", "old", "new", "unit", "new/old"],
  ($new | medians | to_entries[] | $before[.key] as $b | select($b) |
    [.key, ($b.time | digits), (.value.time | digits), .value.unit, (.value.time / $b.time | digits)]) |
  @tsv' | column -t

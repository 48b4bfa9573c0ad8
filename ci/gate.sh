#!/usr/bin/env bash
# What the GitHub Action runs: the gate, JUnit, the comparison with the base branch's baseline, and
# one comment that is updated. Exits with the gate's code, or where that is 0 with the comparison's.
#
# Everything comes in by variables, so that nothing of a pull request is ever read as shell:
#   EQUIVCHECK_SUITES     files or folders, a line each; empty: suites
#   EQUIVCHECK_ARGUMENTS  further arguments of equivcheck run, a line each
#   EQUIVCHECK_OUT        folder of the run
#   EQUIVCHECK_BASELINE   name of the baseline; empty: nothing is compared
#   EQUIVCHECK_COMMENT    true: comment on the pull request
#   EQUIVCHECK_PULL       its number; empty: there is none
set -uo pipefail

out="${EQUIVCHECK_OUT:-reports/latest}"
marker="<!-- equivcheck -->"
longest=60000  # Characters; GitHub takes 65,536 in a comment.
comparison=""

mapfile -t suites < <(printf '%s' "${EQUIVCHECK_SUITES:-}" | sed '/^[[:space:]]*$/d')
mapfile -t arguments < <(printf '%s' "${EQUIVCHECK_ARGUMENTS:-}" | sed '/^[[:space:]]*$/d')

equivcheck run "${suites[@]}" --out "$out" "${arguments[@]}"
code=$?

if [ -f "$out/records.jsonl" ]; then
  equivcheck export "$out" --junit "$out/junit.xml" || true
fi

# The base branch's own file: a pull request could bring another.
base="${GITHUB_BASE_REF:-}"
file=".equivcheck/baselines/${EQUIVCHECK_BASELINE:-}.json"
if [ -n "${EQUIVCHECK_BASELINE:-}" ] && [ -n "$base" ] && [ "$code" -ne 2 ]; then
  before="$(mktemp -d)/${EQUIVCHECK_BASELINE}.json"
  git fetch --quiet --depth=1 origin "$base" || true
  if git show "FETCH_HEAD:$file" > "$before" 2>/dev/null; then
    comparison="$out/comparison.md"
    equivcheck compare "$before" "$out" --markdown "$comparison"
    compared=$?
    if [ "$code" -eq 0 ]; then code=$compared; fi
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$comparison" ]; then
      cat "$comparison" >> "$GITHUB_STEP_SUMMARY"
    fi
  else
    echo "::notice::$base has no $file: there is nothing to compare with"
  fi
fi

if [ "${EQUIVCHECK_COMMENT:-false}" = "true" ] && [ -n "${EQUIVCHECK_PULL:-}" ]; then
  body="$(mktemp)"
  {
    echo "$marker"
    if [ -f "$comparison" ]; then cat "$comparison"; echo; fi
    if [ -f "$out/report.md" ]; then cat "$out/report.md"; else echo "equivcheck could not run; its exit code is $code."; fi
  } | head -c "$longest" > "$body"
  comments="repos/$GITHUB_REPOSITORY/issues/$EQUIVCHECK_PULL/comments"
  found="$(gh api "$comments" --paginate \
    --jq ".[] | select(.body | startswith(\"$marker\")) | .id" | head -n 1)" || found=""
  if [ -n "$found" ]; then
    gh api --silent -X PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$found" -F "body=@$body" \
      || echo "::warning::the comment could not be updated: the token may not write here"
  else
    gh api --silent -X POST "$comments" -F "body=@$body" \
      || echo "::warning::no comment could be made: the token may not write here"
  fi
fi

if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "exit-code=$code" >> "$GITHUB_OUTPUT"; fi
exit "$code"

#!/bin/sh
# Gives the users of a service to a version that is deployed already, step by step: release.sh SERVICE VERSION.
# Ends with 0 when that version has everything, and with 1 and the verdict when it was turned back.
set -eu
service=$1 version=$2
pointsman=${POINTSMAN:-pointsman}
# What it is of, for the history: set by GitHub and by GitLab.
commit=${GITHUB_SHA:-${CI_COMMIT_SHA:-unknown}}

cancelled() {
    "$pointsman" rollout abort "$service" --reason "the pipeline was cancelled"
    exit 1
}
# A shell waits for what runs in front of it before it looks at a signal, so it runs behind.
trap cancelled INT TERM
"$pointsman" rollout start "$service" --to "$version" --reason "commit $commit" --follow &
wait $!

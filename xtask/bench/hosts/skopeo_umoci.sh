#!/bin/sh
# What scripts do today: skopeo for the registry, umoci for the layers, tar for the root.
set -eu
image=$1 output=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
skopeo copy -q --src-tls-verify=false "docker://$image" "oci:$folder/layout:it"
umoci raw unpack --image "$folder/layout:it" "$folder/root" 2>/dev/null
tar -C "$folder/root" --numeric-owner --xattrs -cf "$output" .

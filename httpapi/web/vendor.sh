#!/bin/sh
# Compares every file that vendor.txt names with the one in its npm package, and both
# with the recorded SHA-256. Needs npm and the registry; the tests need neither, they
# compare with the recorded hash. `vendor.sh fetch` copies the files here first.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
while read -r file package inside sum; do
	case $file in '' | \#*) continue ;; esac
	if [ ! -d "$work/$package" ]; then
		mkdir "$work/$package"
		tarball=$(cd "$work" && npm pack --silent "$package")
		tar -xzf "$work/$tarball" -C "$work/$package"
	fi
	original=$work/$package/package/$inside
	[ "${1:-}" != fetch ] || cp "$original" "$file"
	real=$(sha256sum <"$original" | cut -d' ' -f1)
	if [ "$real" != "$sum" ]; then
		echo "$package $inside: SHA-256 $real, recorded $sum" >&2
		failed=1
	elif ! cmp -s "$original" "$file"; then
		echo "$file is not $inside of $package" >&2
		failed=1
	else
		echo "$file: as in $package"
	fi
done <vendor.txt
exit $failed

#!/bin/sh
# Fetches the viewer of the API's document from npm and records what came:
#
#	fetch.sh VERSION
#
# The package is Swagger UI (Apache-2.0, SmartBear Software). It was chosen because
# it shows OpenAPI 3.1, is one script and one style that ask no other address, and
# works under a Content-Security-Policy without inline scripts or eval.
set -eu
package=swagger-ui-dist
version=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
integrity=$(npm view "$package@$version" dist.integrity)
archive=$(npm pack --silent "$package@$version")
got=sha512-$(openssl dgst -sha512 -binary "$archive" | base64 | tr -d '\n')
test "$got" = "$integrity" || { echo "the archive is $got, npm says $integrity" >&2; exit 1; }
tar xzf "$archive"
files='LICENSE NOTICE swagger-ui-bundle.js swagger-ui.css'
{
	printf '{\n "package": "%s",\n "version": "%s",\n "integrity": "%s",\n "files": {' "$package" "$version" "$integrity"
	separator=
	for file in $files; do
		cp "package/$file" "$here/$file"
		printf '%s\n  "%s": "%s"' "$separator" "$file" "$(sha256sum "package/$file" | cut -d ' ' -f 1)"
		separator=,
	done
	printf '\n }\n}\n'
} >"$here/viewer.json"

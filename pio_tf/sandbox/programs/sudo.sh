#!/bin/sh
# As root, a user of a machine could damage the computer that the sandbox runs on.
echo "sudo: a machine of the sandbox shares this computer, so it has no root" >&2
exit 1

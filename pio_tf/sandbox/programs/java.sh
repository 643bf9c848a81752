#!/bin/sh
# A JVM accepts only one collector, so an explicit choice replaces this one.
case " $* " in
*" -XX:+Use"*"GC "*) collector= ;;
*) collector=-XX:+UseSerialGC ;;
esac
exec @command@ $collector "$@"

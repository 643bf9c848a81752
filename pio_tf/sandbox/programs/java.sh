#!/bin/sh
# A JVM accepts only one collector, so an explicit choice replaces this one.
case " $* " in
*" -XX:+Use"*"GC "*) collector= ;;
*) collector=-XX:+UseSerialGC ;;
esac
# The archive of classes fits a class path that begins with Spark's jars. Spark puts its conf directory first, but no jar
# has a file of a name that conf may have.
for argument do
  shift
  case $argument in
  @conf@:*) argument=${argument#@conf@:}:@conf@ ;;
  esac
  set -- "$@" "$argument"
done
exec @command@ $collector "$@"

"""Java for the sandbox: artefacts from Maven, a Java 11, and a compiler for small programs."""

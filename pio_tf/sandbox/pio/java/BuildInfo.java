package org.apache.predictionio.core;

/** The versions of this build, in the form of sbt-buildinfo's class: pio-tf's checks read them from the assembly jar. */
final class BuildInfo$ {
    private final String version;
    private final String sparkVersion;

    BuildInfo$() {
        version = "0.14.0";
        sparkVersion = "2.4.8";
    }

    @Override
    public String toString() {
        return "PredictionIO " + version + " for Spark " + sparkVersion;
    }
}

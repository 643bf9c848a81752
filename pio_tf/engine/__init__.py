"""The engine as an artefact: its sources, pushed to the driver; and archives of all that a training of it takes."""

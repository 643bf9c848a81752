"""pio-tf.hcl -> a typed, validated Config, and the sizes that follow from instance types."""

"""Which machines there are and whether they run: EC2 through boto3."""

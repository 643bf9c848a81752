# Written by pio-tf from pio-tf.hcl: change that file, not this one.

provider "aws" {
  region  = var.region
  profile = "sandbox"

  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  endpoints {
    cloudwatch = "@URL@"
    ec2        = "@URL@"
    iam        = "@URL@"
    sts        = "@URL@"
  }
}

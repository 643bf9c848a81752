# Written by pio-tf from pio-tf.hcl: change that file, not this one.

terraform {
  backend "s3" {
    bucket  = "old-team-state"
    encrypt = true
    endpoints = {
      s3  = "@URL@"
      sts = "@URL@"
    }
    key                         = "pio-tf/old-team/terraform.tfstate"
    profile                     = "sandbox"
    region                      = "us-east-1"
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
    use_lockfile                = true
    use_path_style              = true
  }
}

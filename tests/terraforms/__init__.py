"""A cluster's life with each Terraform and OpenTofu that `make test-terraforms` names. Other runs leave these out."""

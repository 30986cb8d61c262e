"""What speaks for and against a sale, as pure functions with TVR and TSI out (EMV Book 3, 10)."""

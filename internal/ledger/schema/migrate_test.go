// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"testing"
)

// released are the migrations that existing ledgers have applied. If one changed, their
// tables would differ from new ones: add a migration instead.
var released = map[string]string{
	"migrations/sqlite/00001_create_ledger.sql":              "1af4f84ce0d69f3c65925e6904386787e519dc609c8327138b04ba770216336b",
	"migrations/postgres/00001_create_ledger.sql":            "944e3fe0c85f7d0ae4b5e1ceabc1c8f2e61c539f498976ea9911273268558b52",
	"migrations/sqlite/00002_quarantine_sharing_names.sql":   "ce0f7ee273786380ef34e5cebbf7b929dbb318d041a6c3df056bbc3d375a5616",
	"migrations/postgres/00002_quarantine_sharing_names.sql": "248069e4edfce54c6997b947c98adeadea4a2a5f6c6256c03edd91e2179450e3",
	"migrations/sqlite/00003_quotas.sql":                     "420472c9defd1bbc7ea5892434692aa0521c165ea3dbe32be8c8caff4937b3e9",
	"migrations/postgres/00003_quotas.sql":                   "26bf84673c2771d5d4a01e8c8e88550068db70c6ebb3c7c0f8a8c23a9e3544c1",
	"migrations/sqlite/00004_attempts.sql":                   "4f33377c00c915a47c4eb89e314eae91d40031bf365f06dd82038ec3b74ea2e0",
	"migrations/postgres/00004_attempts.sql":                 "e83df5869e6a98469a3a376ccbecf2669e0d38330a21442a6c5bde388c655c75",
	"migrations/sqlite/00005_sms_options.sql":                "b594a8cd78d5a2169a7a5a606b9d38f91571daebbdbb5ccc78b2ef7e30619561",
	"migrations/postgres/00005_sms_options.sql":              "b594a8cd78d5a2169a7a5a606b9d38f91571daebbdbb5ccc78b2ef7e30619561",
	"migrations/postgres/00006_suppressions.sql":             "31493409c655472e7988930e40fb4ac49af1089f4a0c7f8c89b971eda66085d2",
	"migrations/postgres/00007_validity.sql":                 "ff7640f0f61d23c3564cffe6b0bfa2fb107738ecc5ebf9f77b3c34e7c0c61ddf",
	"migrations/postgres/00008_erasures.sql":                 "12ca408553262ca5bc318f7bcc2fd38000bed9cc0237a75cc20054513e59319e",
	"migrations/sqlite/00006_suppressions.sql":               "a662ee67f2ba8253517eb32ba3d4e16d515514e8947323898dd86a7a6f83f6a6",
	"migrations/sqlite/00007_validity.sql":                   "255bebf36ed4e11ed8a08c5c4cf80e3501c243f2ba7d6b0067de9dc2514c679b",
	"migrations/sqlite/00008_erasures.sql":                   "4f75114a561a1423e40360f53cc60eb173418431d5a2d001b83189dab2280748",
	"migrations/postgres/00009_feedback.sql":                 "11601f32c9d99ff2e96900360abcdd8511cae43445dbf71746604c79a1011106",
	"migrations/sqlite/00009_feedback.sql":                   "1699fd869180930d40d4c840ce59872174baef7932d723b040ee6bce5cf9d281",
	"migrations/postgres/00010_encryption.sql":               "53b991a049ae08d0ad278a2e479d2b9e632cad85e5bb990e6db5771b5f37e3ca",
	"migrations/sqlite/00010_encryption.sql":                 "d02a2a6bdafdcf015a5f0556133c9cb39fb2c83a907c8d10bbf4a4d8ad14fda8",
	"migrations/postgres/00011_throttles.sql":                "e7d2e5b072f71fb2bd06e861f831a5daad499fdfed13d05e58243e6007280ba6",
	"migrations/sqlite/00011_throttles.sql":                  "c9e21ec6d2e1a87101dabaf6ea38fc6a482c21e5602c1e6cc7459031d8d2fadd",
	"migrations/postgres/00012_fallbacks.sql":                "044f21c1a6662c7b59fcdaac944d4c0d68323433edd9b6a662d6991fd494f488",
	"migrations/sqlite/00012_fallbacks.sql":                  "17c304ffbefedbf384633631c3c0d2350a4ea0c47e1f6dc8cb8c03c916f76952",
	"migrations/postgres/00013_inbox_arrivals.sql":           "c76680d34f2759890f43e1b710025f7da593dd9ccab1e2dbc04d4886e653a9f6",
	"migrations/sqlite/00013_inbox_arrivals.sql":             "069b015f1eed47eb029593460ac165fc214880cbed5bc9e08a9827bd0a4fdd63",
}

func TestReleasedMigrationsAreFrozen(t *testing.T) {
	for path, want := range released {
		text, err := fs.ReadFile(migrations, path)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed: undo that, and add a new migration", path)
		}
	}
}

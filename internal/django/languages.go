// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import "strings"

// language is the result of {% get_language_info %}.
type language struct {
	code, name, localName string
	rightToLeft           bool
}

// defaultLanguage is Django's LANGUAGE_CODE. There are no catalogs: messages
// stay in English, whatever language is on.
const defaultLanguage = "en"

// languages are those of Django's LANGUAGES, in its order.
var languages = [...]language{
	{"af", "Afrikaans", "Afrikaans", false},
	{"ar", "Arabic", "العربيّة", true},
	{"ar-dz", "Algerian Arabic", "العربية الجزائرية", true},
	{"ast", "Asturian", "asturianu", false},
	{"az", "Azerbaijani", "Azərbaycanca", true},
	{"bg", "Bulgarian", "български", false},
	{"be", "Belarusian", "беларуская", false},
	{"bn", "Bengali", "বাংলা", false},
	{"br", "Breton", "brezhoneg", false},
	{"bs", "Bosnian", "bosanski", false},
	{"ca", "Catalan", "català", false},
	{"ckb", "Central Kurdish (Sorani)", "کوردی", true},
	{"cs", "Czech", "česky", false},
	{"cy", "Welsh", "Cymraeg", false},
	{"da", "Danish", "dansk", false},
	{"de", "German", "Deutsch", false},
	{"dsb", "Lower Sorbian", "dolnoserbski", false},
	{"el", "Greek", "Ελληνικά", false},
	{"en", "English", "English", false},
	{"en-au", "Australian English", "Australian English", false},
	{"en-gb", "British English", "British English", false},
	{"eo", "Esperanto", "Esperanto", false},
	{"es", "Spanish", "español", false},
	{"es-ar", "Argentinian Spanish", "español de Argentina", false},
	{"es-co", "Colombian Spanish", "español de Colombia", false},
	{"es-mx", "Mexican Spanish", "español de Mexico", false},
	{"es-ni", "Nicaraguan Spanish", "español de Nicaragua", false},
	{"es-ve", "Venezuelan Spanish", "español de Venezuela", false},
	{"et", "Estonian", "eesti", false},
	{"eu", "Basque", "Basque", false},
	{"fa", "Persian", "فارسی", true},
	{"fi", "Finnish", "suomi", false},
	{"fr", "French", "français", false},
	{"fy", "Frisian", "frysk", false},
	{"ga", "Irish", "Gaeilge", false},
	{"gd", "Scottish Gaelic", "Gàidhlig", false},
	{"gl", "Galician", "galego", false},
	{"he", "Hebrew", "עברית", true},
	{"hi", "Hindi", "हिंदी", false},
	{"hr", "Croatian", "Hrvatski", false},
	{"hsb", "Upper Sorbian", "hornjoserbsce", false},
	{"hu", "Hungarian", "Magyar", false},
	{"hy", "Armenian", "հայերեն", false},
	{"ia", "Interlingua", "Interlingua", false},
	{"id", "Indonesian", "Bahasa Indonesia", false},
	{"ig", "Igbo", "Asụsụ Ìgbò", false},
	{"io", "Ido", "ido", false},
	{"is", "Icelandic", "Íslenska", false},
	{"it", "Italian", "italiano", false},
	{"ja", "Japanese", "日本語", false},
	{"ka", "Georgian", "ქართული", false},
	{"kab", "Kabyle", "taqbaylit", false},
	{"kk", "Kazakh", "Қазақ", false},
	{"km", "Khmer", "Khmer", false},
	{"kn", "Kannada", "Kannada", false},
	{"ko", "Korean", "한국어", false},
	{"ky", "Kyrgyz", "Кыргызча", false},
	{"lb", "Luxembourgish", "Lëtzebuergesch", false},
	{"lt", "Lithuanian", "Lietuviškai", false},
	{"lv", "Latvian", "latviešu", false},
	{"mk", "Macedonian", "Македонски", false},
	{"ml", "Malayalam", "മലയാളം", false},
	{"mn", "Mongolian", "Mongolian", false},
	{"mr", "Marathi", "मराठी", false},
	{"ms", "Malay", "Bahasa Melayu", false},
	{"my", "Burmese", "မြန်မာဘာသာ", false},
	{"nb", "Norwegian Bokmal", "norsk (bokmål)", false},
	{"ne", "Nepali", "नेपाली", false},
	{"nl", "Dutch", "Nederlands", false},
	{"nn", "Norwegian Nynorsk", "norsk (nynorsk)", false},
	{"os", "Ossetic", "Ирон", false},
	{"pa", "Punjabi", "Punjabi", false},
	{"pl", "Polish", "polski", false},
	{"pt", "Portuguese", "Português", false},
	{"pt-br", "Brazilian Portuguese", "Português Brasileiro", false},
	{"ro", "Romanian", "Română", false},
	{"ru", "Russian", "Русский", false},
	{"sk", "Slovak", "Slovensky", false},
	{"sl", "Slovenian", "Slovenščina", false},
	{"sq", "Albanian", "shqip", false},
	{"sr", "Serbian", "српски", false},
	{"sr-latn", "Serbian Latin", "srpski (latinica)", false},
	{"sv", "Swedish", "svenska", false},
	{"sw", "Swahili", "Kiswahili", false},
	{"ta", "Tamil", "தமிழ்", false},
	{"te", "Telugu", "తెలుగు", false},
	{"tg", "Tajik", "тоҷикӣ", false},
	{"th", "Thai", "ภาษาไทย", false},
	{"tk", "Turkmen", "Türkmençe", false},
	{"tr", "Turkish", "Türkçe", false},
	{"tt", "Tatar", "Татарча", false},
	{"udm", "Udmurt", "Удмурт", false},
	{"ug", "Uyghur", "ئۇيغۇرچە", true},
	{"uk", "Ukrainian", "Українська", false},
	{"ur", "Urdu", "اردو", true},
	{"uz", "Uzbek", "oʻzbek tili", false},
	{"vi", "Vietnamese", "Tiếng Việt", false},
	{"zh-hans", "Simplified Chinese", "简体中文", false},
	{"zh-hant", "Traditional Chinese", "繁體中文", false},
}

// languageAliases are codes that Django knows besides those.
var languageAliases = map[string]string{
	"zh-cn": "zh-hans", "zh-my": "zh-hans", "zh-sg": "zh-hans",
	"zh-hk": "zh-hant", "zh-mo": "zh-hant", "zh-tw": "zh-hant",
}

var norwegian = language{"no", "Norwegian", "norsk", false}

// findLanguage looks a code up, then the part before its hyphen.
func findLanguage(code string) (language, bool) {
	if alias, ok := languageAliases[code]; ok {
		code = alias
	}
	if code == norwegian.code {
		return norwegian, true
	}
	for _, l := range languages {
		if l.code == code {
			return l, true
		}
	}
	if generic, _, ok := strings.Cut(code, "-"); ok {
		return findLanguage(generic)
	}
	return language{}, false
}

// isRightToLeft implements Django's get_language_bidi, which uses the setting
// LANGUAGES_BIDI instead of the language's own data (they differ for Azerbaijani).
func isRightToLeft(code string) bool {
	base, _, _ := strings.Cut(code, "-")
	switch base {
	case "he", "ar", "ckb", "fa", "ug", "ur":
		return true
	}
	return false
}

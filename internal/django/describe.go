// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package django

import (
	"cmp"
	"maps"
	"slices"
)

// Description is what an author of templates needs to know of a filter or tag.
type Description struct {
	// Name is the name of the filter or tag.
	Name string
	// Signature is how it is written, such as value|date[:format] or {% now format %}.
	Signature string
	// Library is what {% load %} must name before the use; empty if the filter or tag is
	// built in.
	Library string
	// Since is the version of Django that introduced it, if that is 5.0 or later, or Rehive
	// for the filters that Rehive adds; empty for those that older versions have too.
	Since string
	// Removed is the version of Django that removed it; empty if Django still has it.
	Removed string
	// Summary says in one sentence what it does.
	Summary string
}

// DescribeFilters returns the filters, sorted by library and name.
func DescribeFilters() []Description {
	return describe(func(l *Library) []string { return slices.Collect(maps.Keys(l.filters)) }, func(l *Library, name string) Description {
		about := filterDescriptions[name]
		d := Description{Signature: "value|" + name, Since: about.since, Removed: about.removed, Summary: about.summary}
		switch l.filters[name].Arg {
		case RequiredArg:
			d.Signature += ":" + about.syntax
		case OptionalArg:
			d.Signature += "[:" + about.syntax + "]"
		case NoArg:
		}
		return d
	})
}

// DescribeTags returns the tags, sorted by library and name.
func DescribeTags() []Description {
	return describe(func(l *Library) []string { return slices.Collect(maps.Keys(l.tags)) }, func(_ *Library, name string) Description {
		about := tagDescriptions[name]
		return Description{Signature: about.syntax, Since: about.since, Removed: about.removed, Summary: about.summary}
	})
}

func describe(names func(*Library) []string, of func(l *Library, name string) Description) []Description {
	var all []Description
	add := func(library string, l *Library) {
		for _, name := range names(l) {
			d := of(l, name)
			d.Name, d.Library = name, library
			all = append(all, d)
		}
	}
	add("", builtins)
	for name, l := range libraries {
		add(name, l)
	}
	slices.SortFunc(all, func(a, b Description) int {
		return cmp.Or(cmp.Compare(a.Library, b.Library), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// description is the part of a Description that the registry doesn't have.
type description struct {
	syntax  string // the argument of a filter, or the whole of a tag
	summary string
	since   string
	removed string
}

const rehive = "Rehive"

var filterDescriptions = map[string]description{
	"add":                      {syntax: "number", summary: "Adds a number, or appends a text or a list."},
	"addslashes":               {summary: "Puts a backslash before quotes."},
	"apnumber":                 {summary: "Writes the numbers 1 to 9 as words."},
	"capfirst":                 {summary: "Capitalizes the first character."},
	"center":                   {syntax: "width", summary: "Centers a text by adding spaces on both sides."},
	"cut":                      {syntax: "text", summary: "Removes all occurrences of a text."},
	"date":                     {syntax: "format", summary: "Formats a date. Rehive's times need timestamp first."},
	"default":                  {syntax: "value", summary: "Replaces a value that is missing, empty, zero, false or null."},
	"default_if_none":          {syntax: "value", summary: "Replaces a value that is null."},
	"dictsort":                 {syntax: "key", summary: "Sorts a list of objects by a member."},
	"dictsortreversed":         {syntax: "key", summary: "Sorts a list of objects by a member, in descending order."},
	"divisibleby":              {syntax: "number", summary: "Returns whether a number is divisible by another."},
	"escape":                   {summary: "Escapes HTML, once, when the result is printed."},
	"escapejs":                 {summary: "Escapes a text for a string in JavaScript."},
	"escapeseq":                {summary: "Escapes HTML in each item of a list.", since: "5.0"},
	"filesizeformat":           {summary: "Formats a number of bytes, such as 13 KB."},
	"first":                    {summary: "Returns the first item of a list."},
	"floatformat":              {syntax: "places", summary: "Rounds a number to a number of decimal places."},
	"force_escape":             {summary: "Escapes HTML immediately."},
	"get_digit":                {syntax: "position", summary: "Returns a digit of a number, counted from the right."},
	"intcomma":                 {syntax: "use_l10n", summary: "Groups the digits of a number, as in 4,500."},
	"intword":                  {summary: "Writes a large number in words, such as 1.2 million."},
	"iriencode":                {summary: "Converts an address with international characters to a URL."},
	"join":                     {syntax: "separator", summary: "Joins the items of a list."},
	"json_script":              {syntax: "id", summary: "Prints a value as JSON in a script element."},
	"language_bidi":            {summary: "Returns whether a language is written from right to left."},
	"language_name":            {summary: "Returns the English name of a language."},
	"language_name_local":      {summary: "Returns the name of a language in that language."},
	"language_name_translated": {summary: "Returns the name of a language; in English, because other translations aren't available."},
	"last":                     {summary: "Returns the last item of a list."},
	"length":                   {summary: "Returns the length of a text or a list."},
	"length_is":                {syntax: "number", summary: "Returns whether a text or a list has a length. Compare length in an if tag instead.", removed: "5.1"},
	"linebreaks":               {summary: "Converts line breaks to paragraphs in HTML."},
	"linebreaksbr":             {summary: "Converts line breaks to br elements."},
	"linenumbers":              {summary: "Numbers the lines of a text."},
	"ljust":                    {syntax: "width", summary: "Aligns a text to the left by adding spaces."},
	"localize":                 {summary: "Writes a number or a date as the message's language does."},
	"localtime":                {summary: "Converts a time to the current time zone."},
	"lower":                    {summary: "Converts a text to lower case."},
	"make_list":                {summary: "Splits a text into its characters."},
	"money":                    {syntax: "divisibility", summary: "Writes an amount in a currency's smallest unit with its decimal places.", since: rehive},
	"naturalday":               {syntax: "format", summary: "Writes a date as today, tomorrow or yesterday if it is one, and formats it otherwise."},
	"naturaltime":              {summary: "Writes how long ago a time is, such as 5 minutes ago."},
	"ordinal":                  {summary: "Writes a number as an ordinal, such as 3rd."},
	"phone2numeric":            {summary: "Converts the letters of a phone number to digits."},
	"pluralize":                {syntax: "suffixes", summary: "Returns a suffix for the plural, s by default, unless the number is 1."},
	"pprint":                   {summary: "Prints a value for debugging."},
	"random":                   {summary: "Returns a random item of a list."},
	"rjust":                    {syntax: "width", summary: "Aligns a text to the right by adding spaces."},
	"safe":                     {summary: "Marks a text as HTML that is not escaped. Never use it for what customers enter."},
	"safeseq":                  {summary: "Marks each item of a list as HTML that is not escaped."},
	"slice":                    {syntax: "range", summary: "Returns a part of a list or text, such as :3."},
	"slugify":                  {summary: "Converts a text to lower-case words with hyphens, for URLs."},
	"stringformat":             {syntax: "format", summary: "Formats a value as Python's % operator does, such as 03d."},
	"striptags":                {summary: "Removes HTML tags."},
	"time":                     {syntax: "format", summary: "Formats a time of day."},
	"timesince":                {syntax: "time", summary: "Writes how much time has passed since a time, such as 4 days, 6 hours."},
	"timestamp":                {summary: "Converts Rehive's milliseconds to a time that date can format.", since: rehive},
	"timeuntil":                {syntax: "time", summary: "Writes how much time remains until a time."},
	"timezone":                 {syntax: "name", summary: "Converts a time to a time zone, such as Africa/Johannesburg."},
	"title":                    {summary: "Capitalizes each word."},
	"truncatechars":            {syntax: "length", summary: "Shortens a text to a number of characters."},
	"truncatechars_html":       {syntax: "length", summary: "Shortens HTML to a number of characters and closes its elements."},
	"truncatewords":            {syntax: "number", summary: "Shortens a text to a number of words."},
	"truncatewords_html":       {syntax: "number", summary: "Shortens HTML to a number of words and closes its elements."},
	"unlocalize":               {summary: "Writes a number or a date independently of the message's language."},
	"unordered_list":           {summary: "Writes a nested list as li elements."},
	"upper":                    {summary: "Converts a text to upper case."},
	"urlencode":                {syntax: "safe", summary: "Escapes a text for use in a URL."},
	"urlize":                   {summary: "Converts URLs and email addresses in a text to links."},
	"urlizetrunc":              {syntax: "length", summary: "Converts URLs and email addresses in a text to links with shortened texts."},
	"utc":                      {summary: "Converts a time to UTC."},
	"wordcount":                {summary: "Counts words."},
	"wordwrap":                 {syntax: "width", summary: "Wraps lines at a number of characters."},
	"yesno":                    {syntax: "texts", summary: "Chooses one of the texts for true, false and null, such as yes,no,maybe."},
}

var tagDescriptions = map[string]description{
	"autoescape":                {syntax: "{% autoescape on %}…{% endautoescape %}", summary: "Turns the escaping of HTML on or off."},
	"block":                     {syntax: "{% block name %}…{% endblock %}", summary: "Marks a part that templates which extend this one can replace."},
	"blocktrans":                {syntax: "{% blocktrans %}…{% endblocktrans %}", summary: "The old name of blocktranslate."},
	"blocktranslate":            {syntax: "{% blocktranslate [count name=number] [with name=value] %}…{% plural %}…{% endblocktranslate %}", summary: "Writes a text with variables, in the singular or plural."},
	"comment":                   {syntax: "{% comment %}…{% endcomment %}", summary: "Prints nothing, whatever is inside."},
	"csrf_token":                {syntax: "{% csrf_token %}", summary: "Prints nothing: messages have no forms to protect."},
	"cycle":                     {syntax: "{% cycle value value… [as name] %}", summary: "Prints one of the values after the other in a loop."},
	"debug":                     {syntax: "{% debug %}", summary: "Prints nothing: it is for the development of web sites."},
	"extends":                   {syntax: "{% extends name %}", summary: "Extends another template. Messages have none: use a layout."},
	"filter":                    {syntax: "{% filter upper %}…{% endfilter %}", summary: "Applies filters to what is inside."},
	"firstof":                   {syntax: "{% firstof value value… [as name] %}", summary: "Prints the first value that isn't empty."},
	"for":                       {syntax: "{% for item in list %}…{% empty %}…{% endfor %}", summary: "Repeats what is inside for each item; forloop.counter counts."},
	"get_available_languages":   {syntax: "{% get_available_languages as name %}", summary: "Stores the languages that are known."},
	"get_current_language":      {syntax: "{% get_current_language as name %}", summary: "Stores the message's language."},
	"get_current_language_bidi": {syntax: "{% get_current_language_bidi as name %}", summary: "Stores whether the message's language is written from right to left."},
	"get_current_timezone":      {syntax: "{% get_current_timezone as name %}", summary: "Stores the current time zone."},
	"get_language_info":         {syntax: "{% get_language_info for code as name %}", summary: "Stores what is known of a language."},
	"get_language_info_list":    {syntax: "{% get_language_info_list for codes as name %}", summary: "Stores what is known of several languages."},
	"if":                        {syntax: "{% if condition %}…{% elif condition %}…{% else %}…{% endif %}", summary: "Prints what is inside if a condition holds; with and, or, not, in, is, ==, !=, <, >, <= and >=."},
	"ifchanged":                 {syntax: "{% ifchanged [value…] %}…{% else %}…{% endifchanged %}", summary: "Prints what is inside if it changed since the last iteration of a loop."},
	"ifequal":                   {syntax: "{% ifequal value value %}…{% else %}…{% endifequal %}", summary: "Prints what is inside if two values are equal. Use if with == instead.", removed: "4.0"},
	"ifnotequal":                {syntax: "{% ifnotequal value value %}…{% else %}…{% endifnotequal %}", summary: "Prints what is inside if two values differ. Use if with != instead.", removed: "4.0"},
	"include":                   {syntax: "{% include name %}", summary: "Includes another template. Messages have none: use a layout."},
	"language":                  {syntax: "{% language code %}…{% endlanguage %}", summary: "Writes dates and numbers as another language does."},
	"load":                      {syntax: "{% load library… %}", summary: "Makes the filters and tags of a library available: humanize, i18n, l10n or tz."},
	"localize":                  {syntax: "{% localize on %}…{% endlocalize %}", summary: "Turns the formats of the message's language on or off."},
	"localtime":                 {syntax: "{% localtime on %}…{% endlocaltime %}", summary: "Turns the conversion of times to the current time zone on or off."},
	"lorem":                     {syntax: "{% lorem [count] [method] [random] %}", summary: "Prints placeholder text."},
	"now":                       {syntax: "{% now format [as name] %}", summary: "Prints the current date or time."},
	"partial":                   {syntax: "{% partial name %}", summary: "Prints the part of the template that partialdef named.", since: "6.0"},
	"partialdef":                {syntax: "{% partialdef name [inline] %}…{% endpartialdef %}", summary: "Names a part of the template, which partial prints; with inline, it is printed here, too.", since: "6.0"},
	"querystring":               {syntax: "{% querystring object [key=value…] [as name] %}", summary: "Prints the members of objects as the parameters of a URL, from ? on.", since: "5.1"},
	"regroup":                   {syntax: "{% regroup list by member as name %}", summary: "Groups the items of a list by a member."},
	"resetcycle":                {syntax: "{% resetcycle [name] %}", summary: "Starts a cycle again from its first value."},
	"spaceless":                 {syntax: "{% spaceless %}…{% endspaceless %}", summary: "Removes white space between HTML tags."},
	"templatetag":               {syntax: "{% templatetag openblock %}", summary: "Prints characters that begin or end a tag."},
	"timezone":                  {syntax: "{% timezone name %}…{% endtimezone %}", summary: "Writes times in a time zone."},
	"trans":                     {syntax: "{% trans text %}", summary: "The old name of translate."},
	"translate":                 {syntax: "{% translate text [as name] %}", summary: "Prints a text. Only Django's own words for dates and numbers are translated."},
	"verbatim":                  {syntax: "{% verbatim %}…{% endverbatim %}", summary: "Prints what is inside as it is written."},
	"widthratio":                {syntax: "{% widthratio value max width [as name] %}", summary: "Computes value / max × width, rounded."},
	"with":                      {syntax: "{% with name=value… %}…{% endwith %}", summary: "Gives values names."},
}

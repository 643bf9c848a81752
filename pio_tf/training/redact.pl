# Hides secrets in each line of the standard input, whatever bytes it holds. redact.py puts two declarations before this
# text: @rules, each a list of words and then the patterns for lines with one of them; $values, a pattern or undef.
my @words = map { @{$_->[0]} } @rules;
binmode STDIN;
binmode STDOUT;
$| = 1;
my $begun = '';
while (1) {
    my $count = sysread STDIN, my $data, 65536;
    die "$!\n" unless defined $count;
    last unless $count;
    my $whole = 1 + rindex $data, "\n";
    if ($whole) {
        hand_out($begun . substr $data, 0, $whole);
        $begun = '';
    }
    $begun .= substr $data, $whole;
    $begun = hand_out_piece($begun) if length $begun >= 65536;
}
hand_out($begun);

sub hand_out { # LINES: print complete lines
    my ($text) = @_;
    print(hide($text)) or die "$!\n";
}

# Print the first part of a line without an end, and return the rest. The cut must not go through a secret: both parts
# must read as the whole does. The rest is longer than a secret that the next piece may complete. Where every cut goes
# through a secret, that is hidden, and stays so with what follows it: an open quote stays open.
sub hand_out_piece { # TEXT
    my ($text) = @_;
    my $hidden = hide($text);
    for my $try (1 .. 16) {
        my $cut = length($text) - 32768 + 1021 * $try;
        my ($first, $rest) = (hide(substr $text, 0, $cut), substr $text, $cut);
        next if $first . hide($rest) ne $hidden;
        print $first or die "$!\n";
        return $rest;
    }
    $hidden = hide($text, 1);
    my $cut = length($hidden) > 16384 ? length($hidden) - 16384 : 0;
    print(substr $hidden, 0, $cut) or die "$!\n";
    return substr $hidden, $cut;
}

sub hide { # TEXT [GOES_ON]: without its secrets
    my ($text, $goes_on) = @_;
    $text =~ s/$values/***/g if defined $values;
    $text = join '', map { redact($_, $goes_on) } split /^/, $text if has(lc $text, @words);
    return $text;
}

sub redact { # LINE GOES_ON: without its secrets; GOES_ON: a value that reaches its end keeps its open quote
    my ($line, $goes_on) = @_;
    my $lower = lc $line;
    for my $rule (@rules) {
        my ($words, @patterns) = @$rule;
        next unless has($lower, @$words);
        for my $pattern (@patterns) {
            if ($goes_on) { $line =~ s/$pattern/$+{k} . open_quote($&, $+{k}, $line, $+[0]) . '***'/ge }
            else { $line =~ s/$pattern/$+{k}***/g }
        }
    }
    return $line;
}

sub open_quote { # MATCH NAME LINE END: the quote before the value, if the line ends before the quote that closes it
    my ($match, $name, $line, $end) = @_;
    my $value = substr $match, length $name;
    return '' if substr($line, $end) !~ /\A\\?\z/;
    return $value =~ /\A(?:"[^"\\]*(?:\\.[^"\\]*)*|'[^'\\]*(?:\\.[^'\\]*)*)\z/s ? substr $value, 0, 1 : '';
}

sub has {
    my $lower = shift;
    for my $word (@_) { return 1 if index($lower, $word) >= 0 }
    return 0;
}

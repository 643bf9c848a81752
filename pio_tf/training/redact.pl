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
}
hand_out($begun);

sub hand_out { # LINES: print complete lines
    my ($text) = @_;
    $text =~ s/$values/***/g if defined $values;
    $text = join '', map { redact($_) } split /^/, $text if has(lc $text, @words);
    print $text or die "$!\n";
}

sub redact {
    my ($line) = @_;
    my $lower = lc $line;
    for my $rule (@rules) {
        my ($words, @patterns) = @$rule;
        next unless has($lower, @$words);
        $line =~ s/$_/$1***/g for @patterns;
    }
    return $line;
}

sub has {
    my $lower = shift;
    for my $word (@_) { return 1 if index($lower, $word) >= 0 }
    return 0;
}

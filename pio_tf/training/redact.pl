# Writes a run's log: hides secrets in each line of the standard input, whatever bytes it holds, keeps the log below a
# size, and ends a run that only repeats an error. redact.py puts declarations before this text: @rules, each a list of
# words and then the patterns for lines with one of them; $values, a pattern or undef, and @forms, the texts that it finds;
# $room, the bytes that the log may take; $repeats and $patience, the errors and the seconds after which a run is ended.
my @words = map { @{$_->[0]} } @rules;
# Most of a log has none of the words and forms. One search for a part of each is fast if it respects case, and if few
# characters can begin a part. To lower_bits, upper-case letters are lower-case ones, as are some other characters: it
# finds every word, and sometimes something else.
my $mask = ' ' x 131072;
my $near = join '|', map { quotemeta rare_part(lower_bits($_)) } @words, @forms;
$near = qr/$near/;
my $over_lines = grep /\n/, @forms;    # a secret of several lines
binmode STDIN;
my $begun = '';
my ($left_out, $end) = (0, '');    # of a log that has reached its size: bytes, and what it ends with
my (%lines, $errors, $since);      # the different lines of late, and since a time, the errors among them
my $group;                         # of the processes that were told to end
$SIG{TERM} = sub { finish(); exit 0 };    # the command has left a process behind, which holds its output open
$SIG{ALRM} = sub { kill 'KILL', -$group };
while (1) {
    my $count = sysread STDIN, my $data, 65536;
    next if !defined $count && $! == 4;    # EINTR
    die "$!\n" unless defined $count;
    last unless $count;
    my $whole = 1 + rindex $data, "\n";
    if ($whole) {
        my $lines = $begun . substr $data, 0, $whole;
        $begun = '';    # before a signal's handler writes it again
        hand_out($lines);
    }
    $begun .= substr $data, $whole;
    $begun = hand_out_piece($begun) if length $begun >= 65536;
}
finish();

sub hand_out { # LINES: write complete lines
    my $text = hide($_[0]);
    put($text);
    watch($text);
}

sub finish { # write what is left
    hand_out($begun);
    return unless $left_out;
    $end =~ s/\A[^\n]*\n//;
    my $bytes = $left_out - length $end;
    write_out("\n[WARN] [pio-tf] the log has reached its size: $bytes bytes before its end are left out\n$end");
}

sub write_out { # TEXT
    my $written = 0;
    while ($written < length $_[0]) {
        my $count = syswrite STDOUT, $_[0], length($_[0]) - $written, $written;
        next if !defined $count && $! == 4;    # EINTR
        die "$!\n" unless defined $count;
        $written += $count;
    }
}

sub put { # TEXT: write it, or keep it in case it is the end of a log that has reached its size
    my ($text) = @_;
    if (!$left_out && length $text <= $room) {
        $room -= length $text;
        write_out($text);
        return;
    }
    $left_out += length $text;
    $end = substr $end . $text, -262144;
}

# PredictionIO retries some failures without a pause and without end: the log is the same few lines then.
sub watch { # TEXT: end the run if its log only repeats an error
    my ($text) = @_;
    my $at = 0;
    while (!defined $group && $at < length $text) {
        my $next = 1 + index $text, "\n", $at;
        my $line = substr $text, $at, ($next || length $text) - $at;
        $at += length $line;
        if (!$lines{$line}) {
            # A text of more different lines is no such log: the rest of it need not be read.
            return (%lines, $errors) = () if keys %lines == 4;
            $lines{$line} = 1;
        }
        count($line);
    }
}

sub count { # LINE: end the run if this error has been repeated for long enough
    my ($line) = @_;
    return if $line !~ /\bERROR\b/;
    $since = time unless $errors;
    return if ++$errors && time - $since < $patience;
    my $seconds = time - $since;
    if ($errors * $patience < $repeats * $seconds) {    # a training that works may repeat an error slowly
        $errors = 0;
        return;
    }
    open my $process, '<', 'process' or return;
    $group = (split ' ', <$process>)[4] or return;
    put("[ERROR] [pio-tf] ended the run: its log was only $errors errors in $seconds s: $line");
    kill 'TERM', -$group;
    alarm 20;
}

# Print the first part of a line without an end, and return the rest. The cut must not go through a secret: both parts
# must read as the whole does. The rest is longer than a secret that the next piece may complete. Where every cut goes
# through a secret, that is hidden, and stays so with what follows it: an open quote stays open.
sub hand_out_piece { # TEXT
    my ($text) = @_;
    my $hidden = hide($text);
    for my $try (1 .. 16) {
        my $cut = length($text) - 32768 + 1021 * $try;
        my ($first, $rest) = (substr($text, 0, $cut), substr $text, $cut);
        if (may_hold_secrets($text)) {
            $first = hide($first);
            next if $first . hide($rest) ne $hidden;
        }
        put($first);
        return $rest;
    }
    $hidden = hide($text, 1);
    my $cut = length($hidden) > 16384 ? length($hidden) - 16384 : 0;
    put(substr $hidden, 0, $cut);
    return substr $hidden, $cut;
}

sub may_hold_secrets { # TEXT: test whether it has a word or a form
    return lower_bits($_[0]) =~ $near;
}

sub lower_bits { # TEXT: with the bit set that tells a lower-case letter from an upper-case one; much faster than lc
    $mask .= $mask while length $mask < length $_[0];
    my $lower = $_[0] | $mask;
    substr($lower, length $_[0]) = '';
    return $lower;
}

# Nearly every word has one of the first four letters, which are not frequent. The other letters are in the order of their
# frequency in real logs, the rarest first.
sub rare_part { # TEXT: from its rarest letter on, at least three characters
    my ($text) = @_;
    for my $letter (split //, 'zpckqyxwvjbufhgmdlrios') {
        my $at = index $text, $letter;
        return substr $text, $at if $at >= 0 && $at + 3 <= length $text;
    }
    return $text;
}

sub hide { # TEXT [GOES_ON]: without its secrets
    my ($text, $goes_on) = @_;
    $text =~ s/$values/***/g if $over_lines;
    my $lower = lower_bits($text);
    my ($hidden, $copied) = ('', 0);    # the text up to here, without its secrets
    while ($lower =~ /$near/g) {
        my $start = 1 + rindex $text, "\n", $-[0];
        my $end = (1 + index $text, "\n", $-[0]) || length $text;
        my $line = substr $text, $start, $end - $start;
        $line =~ s/$values/***/g if defined $values;
        $hidden .= substr($text, $copied, $start - $copied) . redact($line, $goes_on);
        $copied = pos($lower) = $end;
    }
    return $copied ? $hidden . substr $text, $copied : $text;
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
